"""The speed of each contender over many runs, held against a control that ran beside it.

What the machine did between the runs, the control felt too, so it cancels. The control must be what
did not change: a contender whose packages stay as they are, or code of one's own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from bench.analysis.attempts import counted
from bench.analysis.change_points import Change, change_points
from bench.analysis.statistics import Estimate, estimate, speed_ratios
from bench.cells import Cell
from bench.errors import UsageError, unknown
from bench.records import Record, Run
from bench.words import plural
from resnet_impls.catalogue import CATALOGUE

Source = tuple[Run, Sequence[Record]]
ORDERS = ("date", "version", "commit")


@dataclass(frozen=True)
class Point:
    """One run of a contender."""

    run: Run
    label: str  # its date, the version of its framework, or the commit of resnet-bench
    speed: Estimate  # over the control's


@dataclass(frozen=True)
class Series:
    """One cell on one machine over the runs that have it, and where its speed has changed."""

    cell: Cell
    machine: str
    processor: str
    points: tuple[Point, ...]
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class History:
    """All series of some runs, and remarks on the runs that are not in them."""

    control: str
    by: str  # one of ORDERS
    series: tuple[Series, ...]
    remarks: tuple[str, ...]


def history(sources: Sequence[Source], control: str | None, by: str = "date") -> History:
    """The series of all cells that ran beside the control.

    Raises UsageError where there is no such control, no series of two runs, or where two runs of
    a series began in the same second, so that nobody knows which was first.
    """
    if control is None:
        best = ", ".join(_labels(sources)[:5])
        raise UsageError(
            "--history needs --control NAME, an implementation that did not change and ran beside "
            f"the others; most runs have: {best}"
        )
    found: dict[tuple[Any, ...], tuple[Cell, list[Point]]] = {}
    remarks = []
    seen: set[tuple[str, str | None]] = set()
    for run, records in sources:
        if (run.run_id, run.utc) in seen:
            remarks.append(f"{run.run_id} was given more than once, and counts once")
            continue
        seen.add((run.run_id, run.utc))
        cells = _cells(records)
        points = _points(run, cells, control, by)
        if not points:
            remarks.append(f"{run.run_id} is left out: nothing ran beside {control} there")
        for key, point in points.items():
            found.setdefault(key, (cells[key][0], []))[1].append(point)
    if not found:
        what = unknown("contender", control, _labels(sources))
        raise UsageError(f"--control {control}: in no run did anything run beside it; {what}")
    several = {key: each for key, each in found.items() if len(each[1]) > 1}
    if not several:
        raise UsageError(
            f"--history: every cell beside {control} has one run only; give the folder of two or "
            "more runs that measured the same"
        )
    if len(several) < len(found):
        one = plural(len(found) - len(several), "cell")
        remarks.append(f"{one} of one run only: not shown")
    series = [
        Series(cell, key[0], key[1], tuple(sorted(points, key=_order(cell, by))))
        for key, (cell, points) in several.items()
    ]
    for each in series:
        _check_order(each)
    changes = change_points([[point.speed.value for point in each.points] for each in series])
    named = [replace(s, changes=tuple(c)) for s, c in zip(series, changes, strict=True)]
    return History(control, by, tuple(named), tuple(remarks))


def _labels(sources: Sequence[Source]) -> list[str]:
    """The contenders, those of most runs first."""
    counts: dict[str, int] = {}
    for _, records in sources:
        for label in {record.cell.label for record in records if record.status == "ok"}:
            counts[label] = counts.get(label, 0) + 1
    return sorted(counts, key=lambda label: (-counts[label], label))


def _cells(records: Sequence[Record]) -> dict[tuple[Any, ...], tuple[Cell, list[Record]]]:
    """What was measured, by machine and cell; files are known by their names, as in `compare`."""
    found: dict[tuple[Any, ...], tuple[Cell, list[Record]]] = {}
    for record in counted(records):
        if record.status == "ok":
            cell = record.cell
            if cell.implementation.endswith(".py"):
                cell = replace(cell, implementation=Path(cell.implementation).name)
            if cell.weights:
                cell = replace(cell, weights=Path(cell.weights).name)
            key = (record.machine, record.processor, cell)
            found.setdefault(key, (cell, []))[1].append(record)
    return found


def _points(
    run: Run,
    cells: dict[tuple[Any, ...], tuple[Cell, list[Record]]],
    control: str,
    by: str,
) -> dict[tuple[Any, ...], Point]:
    """Of each cell that ran in the same rounds as a control."""
    controls = {
        (*key[:2], *cell.contest): rows
        for key, (cell, rows) in cells.items()
        if control in (cell.label, cell.label.split(" ")[0])
    }
    points = {}
    for key, (cell, rows) in cells.items():
        beside = controls.get((*key[:2], *cell.contest), [])
        speed = None if beside is rows else estimate(speed_ratios(rows, beside))
        if speed:
            dated = run if run.utc else replace(run, utc=min(row.utc for row in rows))
            points[key] = Point(dated, _label(dated, rows[0], by), speed)
    return points


def _label(run: Run, record: Record, by: str) -> str:
    if by == "commit":
        return run.commit or "unknown"
    if by == "version":
        return " ".join(_versions(record)) or "unknown"
    return (run.utc or "")[:16].replace("T", " ")


def _versions(record: Record) -> list[str]:
    """Of the packages that a backend computes with, the first being its framework's."""
    row = CATALOGUE.get(record.implementation)
    names = [p for b in row.backends if b.name == record.backend for p in b.packages] if row else []
    return [record.versions[name] for name in names if name in record.versions]


def _order(cell: Cell, by: str) -> Callable[[Point], tuple[Any, ...]]:
    """By time, or by version and then by time; what is no version comes first."""

    def key(point: Point) -> tuple[Any, ...]:
        return (_parsed(point.label) if by == "version" else (), point.run.utc or "")

    return key


def _parsed(label: str) -> tuple[Version, ...]:
    try:
        return tuple(map(Version, label.split()))
    except InvalidVersion:
        return ()


def _check_order(series: Series) -> None:
    times: dict[str | None, Run] = {}
    for point in series.points:
        other = times.setdefault(point.run.utc, point.run)
        if other is not point.run:
            raise UsageError(
                f"--history: {other.run_id} and {point.run.run_id} both began at {other.utc}, so "
                "that their order is not known; leave one of them out"
            )
