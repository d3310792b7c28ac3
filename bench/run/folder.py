"""`results/<run_id>/`: what a run leaves on disk, safe against being killed at any moment.

`run.json` says what was asked for and is written first; `records.jsonl` grows by one flushed line
per record and is the source of truth; every other file is derived from the two and can be made
again.
"""

import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.cells import UsageError
from bench.records import Record, reading

TEXT, NUMBER, SIZE, KNOWN = "text", "a number", "a number above 0", "a number above 0, or null"
ANY = "any name"
# What `run.json` must hold for reports to be made of it: a kind of value, an object (`?`: its key
# may be absent), one of ANY names, or a list of what is in it
SHAPE: dict[str, Any] = {
    **{"run_id": TEXT, "command": TEXT, "utc?": TEXT, "resnet_bench?": TEXT},
    "options": {"precision_target?": KNOWN, "max_replicates?": KNOWN},
    "machine": {
        **{"machine": TEXT, "cpu": TEXT, "os": TEXT, "memory_gib": KNOWN},
        **{"physical_cores": KNOWN, "logical_cores": KNOWN},
        "gpus": [{"name": TEXT, "memory_gib": KNOWN}],
    },
    "noise_floor?": {ANY: {"value": NUMBER, "log_ratios?": [NUMBER]}},
    "peaks?": {ANY: {ANY: {"gflop_per_s": SIZE, "copy_gb_per_s": SIZE, "library": TEXT}}},
}


class RunFolder:
    """One run's folder, and the description of the run that `run.json` holds."""

    def __init__(self, path: Path, run: Mapping[str, Any]) -> None:
        self.path = path
        self.run = run
        self.logs = path / "logs"

    @classmethod
    def create(cls, path: Path, run: Mapping[str, Any]) -> "RunFolder":
        """Make the folder of a new run. Raises UsageError where that cannot be done."""
        check_free(path)
        try:
            (path / "logs").mkdir(parents=True)
            write(path / "run.json", json.dumps(run, indent=2) + "\n")
        except OSError as error:
            raise UsageError(f"--out {path}: cannot be written ({error.strerror})") from None
        return cls(path, run)

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """The folder of an earlier run. Raises UsageError where `path` holds none."""
        try:
            run = json.loads((path / "run.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UsageError(f"{path}: holds no run (there is no run.json in it)") from None
        except (OSError, ValueError) as error:
            raise UsageError(f"{path / 'run.json'}: cannot be read ({error})") from None
        if wrong := next(unsound(run, SHAPE), None):
            raise UsageError(f"{path / 'run.json'}: {wrong}")
        return cls(path, run)

    def note(self, **facts: Any) -> None:
        """Add to the description of the run, here and on disk."""
        self.run = {**self.run, **facts}
        write(self.path / "run.json", json.dumps(self.run, indent=2) + "\n")

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

    def write_reports(self, plots: bool = False) -> None:
        """Derive all reports anew, and remove the logs of workers that said nothing."""
        write_reports(self.path, self.records(), [self.run], plots)
        if self.logs.is_dir():
            for log in self.logs.iterdir():
                if log.stat().st_size == 0:
                    log.unlink()
            if not any(self.logs.iterdir()):
                self.logs.rmdir()


def unsound(value: Any, shape: Any, name: str = "") -> Iterator[str]:
    """In words, and one after another, where a value of JSON is not of a shape such as SHAPE."""
    if isinstance(shape, list):
        if not isinstance(value, list):
            yield f"{name} is not a list"
            return
        for index, item in enumerate(value):
            yield from unsound(item, shape[0], f"{name}[{index}]")
    elif isinstance(shape, dict):
        if not isinstance(value, dict):
            yield f"{name or 'it'} is not an object"
            return
        inside = dict.fromkeys(value, shape[ANY]) if ANY in shape else shape
        for key, inner in inside.items():
            plain = key.removesuffix("?")
            if plain in value:
                yield from unsound(value[plain], inner, f"{name}.{plain}".removeprefix("."))
            elif key == plain:
                yield f"there is no {key} in {name or 'it'}"
    elif not _is(shape, value):
        yield f"{name} is not {shape}"


def _is(kind: str, value: Any) -> bool:
    if kind == TEXT or value is None:
        return isinstance(value, str) or kind == KNOWN
    sound = type(value) in (int, float) and math.isfinite(value)
    return sound and (kind == NUMBER or value > 0)


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


def write_reports(
    path: Path, rows: Sequence[Record], runs: Sequence[Mapping[str, Any]], plots: bool = False
) -> None:
    """Render every report of `rows` into the folder `path`, replacing each file at once.

    With `plots` those of the page become files too. A page that cannot be made fails nothing: what
    it needs may not be installed, and one line on stderr says so.
    """
    from bench.reports import REPORTS, render

    finish = render.begin(path, rows, runs, plots) if rows else lambda: None
    try:
        for name, report in REPORTS.items():
            write(path / name, report(rows, runs))
    finally:
        problem = finish()
    if problem:
        print(problem, file=sys.stderr)


def write(path: Path, text: str | Iterable[str]) -> None:
    """Replace a file as a whole: a reader sees the old text or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        file.writelines([text] if isinstance(text, str) else text)
    temporary.replace(path)
