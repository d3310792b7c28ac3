"""The records of files: a run's, a folder's of runs, each line of them checked."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from bench.errors import UsageError
from bench.files import opened
from bench.records.record import Record, from_json

Kind = TypeVar("Kind")
LONGEST = 64 * 2**20  # bytes of a line; one with the losses of a million steps has 20 MB


def files(path: Path) -> list[Path]:
    """The `records.jsonl` that `path` stands for: itself, a run's folder, or a folder of those; or
    of folders of those, as shards of each kind of machine have them.

    Raises UsageError where there is none.
    """
    if not os.path.isdir(path):  # False for a name that is too long, too
        return [path]
    own = path / "records.jsonl"
    found = [own] if own.exists() else sorted(path.glob("*/records.jsonl"))
    if not (found := found or sorted(path.glob("*/*/records.jsonl"))):
        raise UsageError(f"{own}: there is no such file; give a run's folder")
    return found


def read(path: Path, say: Callable[[str], object] = lambda remark: None) -> list[Record]:
    """All records of a `records.jsonl`, or of the run folder that holds one.

    A last line without its newline was cut off by a killed run: it is left out, and `say` is told.
    Raises UsageError that names the file and the line of anything else that is no record.
    """
    path = path / "records.jsonl" if os.path.isdir(path) else path
    return [record for _, record in parsed(path, lambda line: from_json(line.decode()), say)]


def parsed(
    path: Path,
    parse: Callable[[bytes], Kind],
    say: Callable[[str], object] = lambda remark: None,
) -> Iterator[tuple[bytes, Kind]]:
    """Each line of a `records.jsonl` without its newline, and what `parse` makes of it.

    Line by line, since a file may be large. As `read`, whose errors these are.
    """
    number = 1
    try:
        with opened(path) as file:
            for number, line in enumerate(iter(lambda: file.readline(LONGEST), b""), start=1):
                if line.endswith(b"\n"):
                    yield line[:-1], parse(line[:-1])
                elif len(line) == LONGEST:
                    raise ValueError(f"is longer than {LONGEST / 2**20:.0f} MiB")
                else:
                    say(f"{path}, line {number}: cut off, as a killed run leaves it; left out")
    except FileNotFoundError:
        raise UsageError(f"{path}: there is no such file; give a run's folder") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise UsageError(f"{path}, line {number}: {told(error)}") from None


def told(error: ValueError) -> str:
    """What is wrong with a line, in words."""
    if isinstance(error, UnicodeDecodeError):
        byte = error.object[error.start]
        return f"not UTF-8 text (byte {byte:#04x} at column {error.start + 1})"
    return str(error)


def read_all(
    paths: Iterable[Path], say: Callable[[str], object] = lambda remark: None
) -> list[Record]:
    """The records of several files, run folders or folders of those, in the order given."""
    return [record for path in paths for file in files(path) for record in read(file, say)]
