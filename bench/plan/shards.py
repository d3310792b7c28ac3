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
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from bench.cells import LARGEST, Cell
from bench.collector import resting
from bench.errors import UsageError
from bench.obstacles import unsupported
from bench.parent.outcome import Task
from bench.parent.schedule import by_contest
from bench.plan.estimate import Estimator, Here
from bench.plan.published import published
from bench.records.run import Shard
from bench.request.request import Request
from bench.words import plural

DIGITS = 3  # of a task's seconds


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
    seconds = _seconds([(cell, index) for cell in cells for index in range(replicates)])
    shards, loads_s = _balanced(_units(request, cells, replicates, of), seconds, of)
    plan, place = _fingerprint(shards), {cell: place for place, cell in enumerate(cells)}
    total_s = sum(seconds.values()) or 1.0
    parts = []
    for number, (own, load_s) in enumerate(zip(shards, loads_s, strict=True), start=1):
        mine = sorted(dict.fromkeys(cell for cell, _ in own), key=place.__getitem__)
        whole = len(own) == len(mine) * replicates
        every = [] if whole else [(cell, index) for cell in mine for index in range(replicates)]
        parts.append(
            Part(
                shard=Shard(number=number, of=of, plan=plan),
                cells=tuple(mine),
                elsewhere=frozenset(every).difference(own if every else ()),
                share=load_s / total_s,
            )
        )
    return parts


def _units(request: Request, cells: Sequence[Cell], replicates: int, of: int) -> list[list[Task]]:
    """What stays together: contests, or replicates of them where shards outnumber contests."""
    contests = by_contest([(cell, 0) for cell in cells])
    units = [[(cell, i) for cell, _ in group for i in range(replicates)] for group in contests]
    if of <= len(units):
        return units
    has = f"the plan has {plural(len(units), 'contest')}"
    if request.precision_target:
        why = "--precision-target adds processes by all of a contest, which stays in one shard"
    elif any(cell.batch_size == LARGEST for cell in cells):
        why = "--batch-size max is found once for each contest, which stays in one shard"
    else:
        units = by_contest([(cell, i) for cell in cells for i in range(replicates)])
        if of <= len(units):
            return units
        has += f" of {plural(replicates, 'process')} per cell"
        why = "the contenders of a contest stay side by side"
    raise UsageError(f"--shard I/{of}: {has}, and {why}; give {len(units)} shards at most")


def _seconds(tasks: Sequence[Task]) -> dict[Task, float]:
    """Seconds of each task on the machines of the published runs; 0.0 of one without a process."""
    costs = Estimator(Here("", {}), (), published()).seconds(tasks, processors=1)
    idle = {cell for cell in dict.fromkeys(cell for cell, _ in tasks) if unsupported(cell)}
    whole_s = {id(found): sum(found.values()) for found in costs.values() if found}
    known = [whole_s[id(found)] for task, found in costs.items() if found and task[0] not in idle]
    usual_s = sum(known) / len(known) if known else 1.0
    rounded = {key: _rounded(seconds) for key, seconds in whole_s.items()}
    usual = _rounded(usual_s)
    return {
        task: 0.0 if task[0] in idle else rounded.get(id(found), usual)
        for task, found in costs.items()
    }


def _rounded(seconds: float) -> float:
    return float(f"{seconds:.{DIGITS}g}")


def _balanced(
    units: Sequence[list[Task]], seconds: Mapping[Task, float], of: int
) -> tuple[list[list[Task]], list[float]]:
    """The tasks of each shard, and their seconds: the longest unit first, each to the shard with
    the least so far.
    """
    shards: list[list[Task]] = [[] for _ in range(of)]
    loads = [(0.0, 0, number) for number in range(of)]  # seconds, then tasks: none stays empty
    weighed = [(_sum(unit, seconds), unit) for unit in units]
    for unit_s, unit in sorted(weighed, key=lambda each: -each[0]):
        load_s, tasks, number = loads[0]
        shards[number] += unit
        heapq.heapreplace(loads, (load_s + unit_s, tasks + len(unit), number))
    by_number = sorted((number, load_s) for load_s, _, number in loads)
    return shards, [load_s for _, load_s in by_number]


def _sum(tasks: Collection[Task], seconds: Mapping[Task, float]) -> float:
    return sum(sorted(seconds[task] for task in tasks))  # sorted: a sum depends on its order


def _fingerprint(shards: Sequence[Sequence[Task]]) -> str:
    """Of all tasks of all shards. Files count by their names, since machines have them anywhere."""
    contests: dict[tuple[Any, ...], str] = {}
    names = {
        cell: f"{cell.label} {contests.get(cell.contest) or _label(cell, contests)}"
        for cell in dict.fromkeys(cell for tasks in shards for cell, _ in tasks)
    }
    named = [sorted((names[cell], index) for cell, index in tasks) for tasks in shards]
    return sha256(json.dumps(named).encode()).hexdigest()


def _label(cell: Cell, known: dict[tuple[Any, ...], str]) -> str:
    """That of its contest, to be `known` for its other cells."""
    return known.setdefault(cell.contest, cell.contest_label)
