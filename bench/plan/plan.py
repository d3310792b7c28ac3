"""The plan of a run: what it would measure, for how long, and in how much memory. Nothing runs."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from bench.calibrate import certify, peaks
from bench.cells import Cell
from bench.collector import resting
from bench.machine import cpus, memory
from bench.obstacles import obstacle
from bench.parent.memory_budget import for_workers
from bench.parent.outcome import Task
from bench.parent.schedule import by_contest
from bench.plan import parts, times
from bench.plan.costs import Costs, cohorts
from bench.plan.estimate import Estimator
from bench.plan.shards import Part
from bench.plan.sources import able, estimator
from bench.request.request import Request
from bench.words import plural

UNKNOWN = "unknown until its first process"


@dataclass(frozen=True, kw_only=True)
class PlannedCell:
    """One cell; None: not known."""

    contender: str
    seconds: float | None  # of all its processes
    step_ms: float | None
    memory_mib: float | None  # of one process on the host
    basis: str  # how that is known, one of costs.BASES, or UNKNOWN


@dataclass(frozen=True, kw_only=True)
class PlannedContest:
    """Cells that are measured side by side."""

    contest: str
    processes: int
    seconds: float | None  # of the cells that are known
    memory_gib: float | None  # of all of them at once; None where one is not known
    cohorts: int | None  # into how many groups memory splits them
    cells: tuple[PlannedCell, ...]


@dataclass(frozen=True, kw_only=True)
class CannotRun:
    """A cell that has a row with its reason, and no process."""

    cell: str
    status: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that a run would do. Seconds and sizes are estimates, None where nothing is known."""

    total_s: float | None  # None where a part is unknown: `known_s` is then the least
    known_s: float
    certificates_s: float
    peaks_s: float
    building_s: float  # processes until their first timed step
    measuring_s: float  # all else of them
    other_s: float  # data and reports
    cells: int
    processes: int
    certificates: int  # halves that are to be worked out
    contests: tuple[PlannedContest, ...]
    cannot_run: tuple[CannotRun, ...]
    unknown: tuple[str, ...]  # cells of which nothing is known
    memory_gib: float | None  # of the largest contest, all its workers side by side
    memory_available_gib: float  # to workers
    memory_bound: str  # what bounds it: host, or control group
    process_limit_gib: float | None  # that each process may map at most; None: no limit
    disk_while_running_mib: float
    disk_kept_mib: float
    disk_free_mib: float
    remarks: tuple[str, ...]


@resting()
def plan(
    request: Request,
    cells: Sequence[Cell],
    results: Path = Path("results"),
    *,
    own: Part | None = None,
) -> Plan:
    """The plan of a filled-in request for its `cells` on this machine; `own` is the part of them
    that a shard measures.
    """
    whole, cells = cells, own.cells if own else cells
    running = able(cells)
    known_peaks, wanted_peaks = peaks.known(running)
    devices = dict.fromkeys(cell.device for cell in running)
    found = planned(
        request,
        cells,
        estimator(devices, known_peaks, results),
        wanted_peaks=wanted_peaks,
        folder=results,
        elsewhere=own.elsewhere if own else (),
    )
    return replace(found, remarks=(*found.remarks, *_of_shard(own, whole)))


def planned(
    request: Request,
    cells: Sequence[Cell],
    known: Estimator,
    *,
    wanted_peaks: int,
    folder: Path,
    elsewhere: Collection[Task] = (),
) -> Plan:
    """The plan by what an estimator knows; `folder` is where results go. Other shards measure the
    tasks `elsewhere`.
    """
    forbidden = {cell: why for cell in cells if (why := obstacle(cell))}
    running = [cell for cell in cells if cell not in forbidden]
    replicates = request.replicates or 1
    processors = len(cpus.allowed())
    costs = known.of(running)
    every_task = [(cell, index) for cell in running for index in range(replicates)]
    tasks = [task for task in every_task if task not in elsewhere] if elsewhere else every_task
    tasks_of: dict[Cell, list[Task]] = {cell: [] for cell in running}
    for task in tasks:
        tasks_of[task[0]].append(task)
    seconds = known.seconds(tasks, processors)
    of_cell = {cell: _sum([seconds[task] for task in tasks_of[cell]]) for cell in running}
    executables = dict.fromkeys(cell.executable for cell in running)
    halves, problems = certify.missing(executables) if request.certify else ([], 0)
    certificates_s = parts.certificates_s(
        known,
        running,
        halves,
        problems=problems,
        measured=_measured_halves(),
        processors=processors,
    )
    every = [found for found in seconds.values() if found]
    building_s = sum(found["build"] + found["warm_up"] for found in every)
    measuring_s = sum(sum(found.values()) for found in every) - building_s
    peaks_s = parts.peaks_s(wanted_peaks)
    other_s = parts.DATA_S + parts.REPORTS_S
    known_s = certificates_s + peaks_s + building_s + measuring_s + other_s
    unknown = [cell for cell in running if of_cell[cell] is None]
    room, limit_mib = for_workers(), memory.process_limit_mib()
    available_mib = room.mib
    contests = tuple(
        _contest([cell for cell, _ in group], costs, of_cell, tasks_of, available_mib)
        for group in by_contest([(cell, 0) for cell in running])
    )
    disk = parts.disk(running, replicates, save_weights=request.save_weights)
    return Plan(
        total_s=None if unknown else known_s,
        known_s=known_s,
        certificates_s=certificates_s,
        peaks_s=peaks_s,
        building_s=building_s,
        measuring_s=measuring_s,
        other_s=other_s,
        cells=len(cells),
        processes=len(tasks),
        certificates=len(halves),
        contests=contests,
        cannot_run=tuple(_cannot_run(cell, *why) for cell, why in forbidden.items()),
        unknown=tuple(f"{cell.label}, {cell.contest_label}" for cell in unknown),
        memory_gib=max((c.memory_gib for c in contests if c.memory_gib is not None), default=None),
        memory_available_gib=available_mib / 1024,
        memory_bound=room.bound,
        process_limit_gib=limit_mib and limit_mib / 1024,
        disk_while_running_mib=disk.while_running_mib,
        disk_kept_mib=disk.kept_mib,
        disk_free_mib=psutil.disk_usage(str(_existing(folder))).free / 2**20,
        remarks=tuple(_remarks(request, known, running)),
    )


def _contest(
    cells: Sequence[Cell],
    costs: dict[Cell, Costs | None],
    seconds: dict[Cell, float | None],
    tasks_of: Mapping[Cell, Sequence[Task]],
    available_mib: float,
) -> PlannedContest:
    sizes = [found.memory_mib if (found := costs[cell]) else None for cell in cells]
    known = [size for size in sizes if size is not None]
    times_s = [each for cell in cells if (each := seconds[cell]) is not None]
    whole = len(known) == len(cells)
    # what cells side by side differ in though they are of several contests
    apart = [n for n in ("batch_size", "world_size", "streams") if _differ(cells, n)]
    return PlannedContest(
        contest=cells[0].contest_label_without(*apart),
        processes=sum(len(tasks_of[cell]) for cell in cells),
        seconds=sum(times_s) if times_s else None,
        memory_gib=sum(known) / 1024 if whole else None,
        cohorts=cohorts(known, available_mib) if whole else None,
        cells=tuple(
            PlannedCell(
                contender=", ".join([cell.label, *cell.contest_words(*apart)]),
                seconds=seconds[cell],
                step_ms=found.step_s * 1e3 if (found := costs[cell]) else None,
                memory_mib=found.memory_mib if found else None,
                basis=found.basis if found else UNKNOWN,
            )
            for cell in cells
        ),
    )


def _differ(cells: Sequence[Cell], name: str) -> bool:
    return len({getattr(cell, name) for cell in cells}) > 1


def _cannot_run(cell: Cell, status: str, reason: str) -> CannotRun:
    return CannotRun(cell=f"{cell.label}, {cell.contest_label}", status=status, reason=reason)


def _remarks(request: Request, known: Estimator, cells: Sequence[Cell]) -> list[str]:
    found = []
    if request.precision_target:
        found.append("--precision-target adds processes to these until intervals are narrow")
    if most := request.remeasure_busy:
        times = "once more" if most == 1 else f"up to {most} times more"
        kept = ", and keeps the weights of each time" if request.save_weights else ""
        found.append(f"--remeasure-busy measures what a busy machine disturbs {times}{kept}")
    if any(cell.batch_size < 1 for cell in cells):
        found.append("--batch-size max: the search takes about ten processes for each contender")
    if any(cell.target_accuracy for cell in cells):
        found.append("train-to ends where the target is reached, which no estimate knows for sure")
    if cells and not all(known.here.peak(c.device, c.threads, c.precision) for c in cells):
        found.append("no peak of this machine is known yet: other machines' times are not scaled")
    return found


def _of_shard(own: Part | None, whole: Sequence[Cell]) -> list[str]:
    """What part of a plan this is; nothing of a whole one."""
    if own is None:
        return []
    count, every = (len({cell.contest for cell in cells}) for cells in (own.cells, whole))
    part = " in part" if own.elsewhere else ""
    return [
        f"this is shard {own.shard.name}: {count} of {plural(every, 'contest')}{part}, "
        f"{own.share:.0%} of the plan's time by published runs"
    ]


def _measured_halves() -> dict[str, float]:
    return dict(times.known().certificates_s)


def _sum(each: Sequence[dict[str, float] | None]) -> float | None:
    values = [sum(found.values()) for found in each if found is not None]
    return sum(values) if len(values) == len(each) else None


def _existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())
