"""`results/<run_id>/`: what a run leaves on disk, safe against being killed at any moment.

`run.json` says what was asked for and is written first; `records.jsonl` grows by one flushed line
per record and is the source of truth; every other file is derived from the two and can be made
again.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

from bench.errors import UsageError
from bench.files import write
from bench.records import reading
from bench.records.record import Record
from bench.records.run import Run
from bench.validation import parse, plain


class RunFolder:
    """One run's folder, and the description of the run that `run.json` holds."""

    def __init__(self, path: Path, run: Run) -> None:
        self.path = path
        self.run = run
        self.logs = path / "logs"

    @classmethod
    def create(cls, path: Path, run: Run) -> "RunFolder":
        """Make the folder of a new run. Raises UsageError where that cannot be done."""
        check_free(path)
        try:
            (path / "logs").mkdir(parents=True)
            write(path / "run.json", _json(run))
        except OSError as error:
            raise UsageError(f"--out {path}: cannot be written ({error.strerror})") from None
        return cls(path, run)

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """The folder of an earlier run. Raises UsageError where `path` holds none."""
        file = path / "run.json"
        try:
            run = parse(file.read_bytes(), Run)
        except FileNotFoundError:
            raise UsageError(f"{path}: holds no run (there is no run.json in it)") from None
        except OSError as error:
            raise UsageError(f"{file}: cannot be read ({error})") from None
        except ValueError as error:
            raise UsageError(f"{file}: {error}") from None
        return cls(path, run)

    def note(self, **facts: Any) -> None:
        """Add to the description of the run, by names of its fields, here and on disk."""
        self.run = replace(self.run, **facts)
        write(self.path / "run.json", _json(self.run))

    @contextmanager
    def spending(self, part: str) -> Iterator[Callable[[], None]]:
        """Add the wall seconds within to a part of the run, in `run.json`.

        A long part calls what is yielded now and then, so that a kill loses little of it.
        """
        began_s = monotonic()

        def note() -> None:
            nonlocal began_s
            now_s = monotonic()
            so_far_s = self.run.spent_s.get(part, 0.0)
            self.note(spent_s={**self.run.spent_s, part: so_far_s + now_s - began_s})
            began_s = now_s

        try:
            yield note
        finally:
            note()

    def records(self) -> list[Record]:
        """What has been measured so far; a line cut off by a kill is left out."""
        path = self.path / "records.jsonl"
        return reading.read(path) if path.exists() else []

    def drop_cut_off_line(self) -> None:
        """Remove a last line that a killed run left unfinished, so that more can be appended."""
        path = self.path / "records.jsonl"
        if path.exists():
            with path.open("rb+") as file:
                content = file.read()
                file.truncate(content.rfind(b"\n") + 1)

    def append(self, record: Record) -> None:
        """Add one record; it is on disk when this returns."""
        with (self.path / "records.jsonl").open("a", encoding="utf-8") as file:
            file.write(record.to_json() + "\n")
            file.flush()
            os.fsync(file.fileno())

    def drop_empty_logs(self) -> None:
        """Remove the logs of workers that said nothing."""
        if self.logs.is_dir():
            for log in self.logs.iterdir():
                if log.stat().st_size == 0:
                    log.unlink()
            if not any(self.logs.iterdir()):
                self.logs.rmdir()


def _json(run: Run) -> str:
    return json.dumps(plain(run), indent=2) + "\n"


def check_free(path: Path) -> None:
    """Raises UsageError where `path` is taken, by a run or by anything else, or cannot be had."""
    try:
        _check_free(path)
    except OSError as error:  # such as a name that is too long
        raise UsageError(f"--out {path}: cannot be written ({error.strerror})") from None


def _check_free(path: Path) -> None:
    if (path / "run.json").exists():
        raise UsageError(
            f"--out {path}: already holds a run; choose another folder, or go on with it by "
            f"--resume {path}"
        )
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UsageError(f"--out {path}: is not an empty folder; choose another")
    parent = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise UsageError(f"--out {path}: cannot be written ({parent} is no writable folder)")
