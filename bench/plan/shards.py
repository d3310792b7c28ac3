"""`--shard I/N`: one plan cut into parts that machines measure without a word to each other.

What is compared is measured on one machine, side by side. So a part holds whole contests, and where
there are more parts than contests, whole replicates of them, with all their contenders.

The cut must come out alike on every machine. So it is balanced by the published times alone, which
are the same wherever this version is installed, and unscaled: what a machine remembers of its own
runs, its peaks, and the packages that it lacks would give each machine a cut of its own. Where
nothing is published of a cell, the mean of the others counts. Logarithms may differ in their last
digit between processors, so seconds are rounded; and a fingerprint of the whole cut stands in each
part's `run.json`, so that parts which do not fit are found when they are put together.
"""

import heapq
import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from bench.cells import LARGEST, Cell
from bench.collector import resting
from bench.errors import UsageError
from bench.obstacles import unsupported
from bench.parent.outcome import Task
from bench.plan.costs import processes_s
from bench.plan.estimate import Estimator, Here
from bench.plan.published import published
from bench.records.run import Shard
from bench.request.request import Request
from bench.words import plural

DIGITS = 3  # of a process's seconds

Process = tuple[int, int]  # place of a cell in the plan, and replicate: quicker than a Task to find


@dataclass(frozen=True)
class Part:
    """What one shard measures of a plan."""

    shard: Shard
    cells: tuple[Cell, ...]  # in the order of the plan
    elsewhere: frozenset[Task]  # processes of these cells that other shards start
    share: float  # of the estimated time of the whole plan


@resting()
def cut(request: Request, cells: Sequence[Cell], of: int) -> list[Part]:
    """The parts of a filled-in request for its `cells`.

    Raises UsageError where the plan has not so many, or where these would depend on each other.
    """
    replicates = request.replicates or 1
    seconds = _seconds(cells, replicates)
    shards, loads_s = _balanced(_units(request, cells, replicates, of), seconds, of)
    plan = _fingerprint(cells, shards)
    total_s = sum(map(sum, seconds)) or 1.0
    parts = []
    for number, (own, load_s) in enumerate(zip(shards, loads_s, strict=True), start=1):
        mine = sorted({place for place, _ in own})
        elsewhere: set[Process] = set()
        if len(own) < len(mine) * replicates:
            elsewhere = {(place, index) for place in mine for index in range(replicates)} - {*own}
        parts.append(
            Part(
                shard=Shard(number=number, of=of, plan=plan),
                cells=tuple(cells[place] for place in mine),
                elsewhere=frozenset((cells[place], index) for place, index in elsewhere),
                share=load_s / total_s,
            )
        )
    return parts


def _units(
    request: Request, cells: Sequence[Cell], replicates: int, of: int
) -> list[list[Process]]:
    """What stays together: contests, or replicates of them where shards outnumber contests."""
    contests: dict[tuple[Any, ...], list[int]] = {}  # as `by_contest` has them
    for place, cell in enumerate(cells):
        contests.setdefault(cell.beside, []).append(place)
    indices = range(replicates)
    if of <= len(contests):
        return [[(p, index) for p in places for index in indices] for places in contests.values()]
    has = f"the plan has {plural(len(contests), 'contest')}"
    units = [[(p, index) for p in places] for index in indices for places in contests.values()]
    most = len(contests)
    if request.precision_target:
        why = "--precision-target adds processes by all of a contest, which stays in one shard"
    elif any(cell.batch_size == LARGEST for cell in cells):
        why = "--batch-size max is found once for each contest, which stays in one shard"
    elif of <= len(units):
        return units
    else:
        most = len(units)
        has += f" of {plural(replicates, 'process')} per cell"
        why = "the contenders of a contest stay side by side"
    raise UsageError(f"--shard I/{of}: {has}, and {why}; give {most} shards at most")


def _seconds(cells: Sequence[Cell], replicates: int) -> list[list[float]]:
    """Seconds of each process of each cell on the machines of the published runs; 0.0 of one
    without a process.
    """
    known = Estimator(Here("", {}), (), published())
    found: list[tuple[float, float] | None] = []  # of the first replicate, and of a later one
    for cell in cells:
        costs = None if unsupported(cell) else known.costs(cell)
        first, later = processes_s(cell, costs, processors=1) if costs else ({}, {})
        found.append((sum(first.values()), sum(later.values())) if costs else None)
    every = [both[index > 0] for both in found if both for index in range(replicates)]
    usual = [_rounded(sum(every) / len(every) if every else 1.0)] * replicates
    rounded = []
    for cell, both in zip(cells, found, strict=True):
        if both:
            rounded.append([_rounded(both[0]), *[_rounded(both[1])] * (replicates - 1)])
        else:
            rounded.append([0.0] * replicates if unsupported(cell) else usual)
    return rounded


def _rounded(seconds: float) -> float:
    return float(f"{seconds:.{DIGITS}g}")


def _balanced(
    units: Sequence[list[Process]], seconds: Sequence[Sequence[float]], of: int
) -> tuple[list[list[Process]], list[float]]:
    """The processes of each shard, and their seconds: the longest unit first, each to the shard
    with the least so far.
    """
    shards: list[list[Process]] = [[] for _ in range(of)]
    loads = [(0.0, 0, number) for number in range(of)]  # seconds, then processes: none stays empty
    # sorted: a sum depends on its order
    weighed = [(sum(sorted(seconds[p][index] for p, index in unit)), unit) for unit in units]
    for unit_s, unit in sorted(weighed, key=lambda each: -each[0]):
        load_s, count, number = loads[0]
        shards[number] += unit
        heapq.heapreplace(loads, (load_s + unit_s, count + len(unit), number))
    by_number = sorted((number, load_s) for load_s, _, number in loads)
    return shards, [load_s for _, load_s in by_number]


def _fingerprint(cells: Sequence[Cell], shards: Sequence[Sequence[Process]]) -> str:
    """Of all processes of all shards. Files count by their names, since machines have them
    anywhere.
    """
    contests: dict[tuple[Any, ...], str] = {}
    names = []
    for cell in cells:
        contest = cell.contest
        label = contests.get(contest) or contests.setdefault(contest, cell.contest_label)
        names.append(f"{cell.label} {label}")  # as `Cell.name` has it
    named = [sorted((names[place], index) for place, index in own) for own in shards]
    return sha256(json.dumps(named).encode()).hexdigest()
