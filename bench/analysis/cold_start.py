"""What it costs to begin, and after how many steps a cell that begins late has caught up."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from bench.analysis.contests import Contest, Summary
from bench.analysis.statistics import Estimate, speed_ratio
from bench.cells import Cell
from bench.records import Record

BEGINNING = ("import_s", "build_s", "first_step_s", "warmup_s")


@dataclass(frozen=True)
class ColdStart:
    """Medians over the processes of a cell, each over those in which it was timed."""

    import_s: float
    build_s: float
    first_step_s: float
    warmup_s: float  # 0 where no step was one
    begun_steps: int  # the first step, and those of the warm-up
    step_s: float  # each step from then on

    @property
    def begun_s(self) -> float:
        """Until the first step that is timed."""
        return self.import_s + self.build_s + self.first_step_s + self.warmup_s


def cold_start(records: Sequence[Record]) -> ColdStart | None:
    """What the processes of one cell took to begin; None where it was timed in none of them."""
    timed = [r for r in records if r.block_s and r.target_accuracy is None]
    known = {
        name: [value for r in timed if (value := getattr(r, name)) is not None]
        for name in BEGINNING
    }
    if not all(known[name] for name in BEGINNING[:3]):
        return None
    return ColdStart(
        **{name: statistics.median(values or [0.0]) for name, values in known.items()},
        begun_steps=_begun_steps(timed[0]),
        step_s=statistics.median(statistics.median(r.step_s) for r in timed),
    )


def _begun_steps(record: Record) -> int:
    """The first step and the warm-up; older records have all that were not timed."""
    if record.warmup_steps is not None:
        return 1 + record.warmup_steps
    return record.steps - sum(record.block_steps)


@dataclass(frozen=True)
class Overtaking:
    """A cell that begins late, and one of its contest that begins early."""

    late: Summary
    early: Summary
    steps: Estimate  # after which the late one is ahead, the time to begin counted; inf: never


def break_even(late: ColdStart, early: ColdStart, speed: Estimate) -> Estimate:
    """After how many steps `late` has done as many as `early` in as much time; inf: never.

    `speed` says how many times as fast a step of `late` is. The interval is that of `speed` alone:
    the scatter of the time to begin is not in it.
    """
    behind_s = max(0.0, late.begun_s - early.begun_s)

    def steps(ratio: float) -> float:
        if ratio <= 1:
            return math.inf
        return late.begun_steps + behind_s / (early.step_s * (1 - 1 / ratio))

    if speed.low is None or speed.high is None:
        return Estimate(steps(speed.value))
    return Estimate(steps(speed.value), steps(speed.high), steps(speed.low))


def overtakings(contest: Contest) -> list[Overtaking]:
    """Who overtakes whom: two modes of one implementation, and each compiled cell against the one
    that begins first.
    """
    starts = _starts(contest)
    found = []
    for early, late in combinations(starts, 2):
        modes = _contender(late[0].cell) == _contender(early[0].cell)
        compiled = late[0].cell.mode not in ("eager", "graph")
        if (modes or (compiled and early is starts[0])) and (steps := _steps(late, early)):
            found.append(Overtaking(late[0], early[0], steps))
    return found


def against_first(contest: Contest) -> dict[Cell, Estimate]:
    """After how many steps each cell has overtaken the one of its contest that begins first."""
    starts = _starts(contest)
    found = {late[0].cell: _steps(late, starts[0]) for late in starts[1:]}
    return {cell: steps for cell, steps in found.items() if steps}


Start = tuple[Summary, ColdStart]


def _starts(contest: Contest) -> list[Start]:
    """Of the cells whose cold start is known, the first to begin first."""
    starts = [(s, found) for s in contest.summaries if (found := cold_start(s.records))]
    return sorted(starts, key=lambda start: start[1].begun_s)


def _contender(cell: Cell) -> tuple[str | None, ...]:
    return cell.implementation, cell.backend, cell.input


def _steps(late: Start, early: Start) -> Estimate | None:
    """None where the two did not run side by side."""
    speed = speed_ratio(late[0].records, early[0].records)
    return speed and break_even(late[1], early[1], speed)
