"""Which runs a folder stands for.

A folder that holds `run.json` or `records.jsonl` is a run. Any other stands for all runs below it.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.errors import UsageError
from bench.records.folder import RunFolder
from bench.records.record import Record
from bench.records.run import Run

SIGNS = ("run.json", "records.jsonl")  # of a run's folder
Source = tuple[Run, Sequence[Record]]


@dataclass
class Found:
    """A folder that was given, and the runs that it stands for."""

    path: Path
    alone: bool  # it is a run itself
    runs: list[tuple[RunFolder, list[Record]]] = field(default_factory=list)
    unreadable: dict[Path, str] = field(default_factory=dict)  # and why

    @property
    def sources(self) -> list[Source]:
        """The runs as `merge` takes them."""
        return [(folder.run, rows) for folder, rows in self.runs]


def look(path: Path) -> Found:
    """The runs of a folder, without their records. Raises UsageError where it is none and
    holds none.
    """
    if _is_run(path) or not os.path.isdir(path):
        return Found(path, True, [(RunFolder.open(path), [])])
    found = Found(path, False)
    for below in _runs_below(path):
        try:
            found.runs.append((RunFolder.open(below), []))
        except UsageError as error:
            found.unreadable[below] = str(error)
    if not found.runs and not found.unreadable:
        raise UsageError(f"{path}: holds no run, nor does any folder below it (no {SIGNS[0]})")
    return found


def filled(looked: Found) -> Found:
    """What was found, with the records of its runs. Raises UsageError for those of a run alone."""
    found = Found(looked.path, looked.alone, unreadable=dict(looked.unreadable))
    for folder, _ in looked.runs:
        try:
            found.runs.append((folder, folder.records()))
        except UsageError as error:
            if found.alone:
                raise
            found.unreadable[folder.path] = str(error)
    return found


def _is_run(path: Path) -> bool:
    return any(os.path.exists(path / sign) for sign in SIGNS)  # not Path: a name may be too long


def _runs_below(path: Path) -> Iterator[Path]:
    """The runs below a folder, in the order of their names; not what lies within a run."""
    for at, folders, _ in os.walk(path):
        here = Path(at)
        if here != path and _is_run(here):
            folders.clear()
            yield here
        else:
            folders[:] = sorted(name for name in folders if not name.startswith("."))
