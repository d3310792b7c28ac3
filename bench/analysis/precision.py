"""How far the intervals of cells have got towards a precision, and why they get no further."""

from collections.abc import Iterable
from dataclasses import dataclass

from bench.analysis.contests import Contest, Summary
from bench.analysis.ranking import contests_of
from bench.analysis.statistics import Estimate
from bench.cells import Cell
from bench.records import EXPECTED, Record, Run

# To stop as soon as an interval is narrow favours those that are narrow by luck. From 3 processes
# on, t's interval then holds the truth in 89 to 90 of 100 simulated runs, from 5 in 92 to 93, from
# 7 in 93 to 95: `tests/benchmarks/coverage.py stopping`.
LEAST = 5


@dataclass(frozen=True)
class Standing:
    """How far the intervals of a cell have got; a half width of 0.01 is ±1 %, None: no interval."""

    cell: Cell
    processes: int  # that are ok
    speed: float | None  # half width of its throughput
    ratio: float | None  # half width of its speed against the fastest; 0 for the fastest itself
    reached: bool  # all within the target
    ended: str | None  # why it gets no more processes; None where it may
    obstacle: str | None  # why more would not help it, where they would be needed

    @property
    def wanting(self) -> bool:
        """Whether one more process is needed, and of use."""
        return not self.reached and self.obstacle is None


def standings(
    records: Iterable[Record], run: Run, target: float, most: int
) -> list[list[Standing]]:
    """How the cells of each contest stand towards half widths of `target`, by `most` processes.

    Cells that cannot run here, of which there is nothing to measure, are left out.
    """
    return [_of_contest(each, target, most) for each in contests_of(records, [run])]


def _of_contest(contest: Contest, target: float, most: int) -> list[Standing]:
    fastest_ended = _end(contest.fastest, most)
    return [
        _standing(summary, contest.fastest, _end(summary, most), fastest_ended, target, most)
        for summary in contest.summaries
        if summary.records or summary.failures[-1].status not in EXPECTED
    ]


def _end(summary: Summary, most: int) -> str | None:
    """A cell whose latest process failed would fail on and on."""
    last = max((*summary.records, *summary.failures), key=lambda record: record.replicate)
    if last.status != "ok":
        return f"process {last.replicate}: {last.status}"
    return f"at the cap of {most} processes" if last.replicate + 1 >= most else None


def _standing(
    summary: Summary,
    fastest: Summary,
    ended: str | None,
    fastest_ended: str | None,
    target: float,
    most: int,
) -> Standing:
    processes = len(summary.records)
    speed = half_width(summary.throughput_images_per_s)
    ratio = 0.0 if summary is fastest else half_width(summary.speed_against_fastest)
    enough = processes >= min(LEAST, most)
    speed_reached = speed is not None and speed <= target and enough
    reached = speed_reached and ratio is not None and ratio <= target
    obstacle = None
    if not reached:
        obstacle = ended
        if obstacle is None and speed_reached and fastest_ended:
            obstacle = f"{fastest.cell.known_as}, the fastest, {fastest_ended}"
        if obstacle is None and speed_reached and ratio is None:
            obstacle = f"never ran beside {fastest.cell.known_as}, the fastest"
    return Standing(summary.cell, processes, speed, ratio, reached, ended, obstacle)


def half_width(estimate: Estimate | None) -> float | None:
    """Half the width of an interval as a fraction of its value; None where there is none."""
    if estimate is None or estimate.high is None:
        return None
    return estimate.high / estimate.value - 1


def unreached(records: Iterable[Record], run: Run) -> list[Standing]:
    """The cells of `run` that did not reach the target it was given; none where it had none."""
    target, most = run.options.precision_target, run.options.max_replicates
    if not target or not most:
        return []
    ours = [record for record in records if record.run_id == run.run_id]
    contests = standings(ours, run, target, most)
    return [standing for contest in contests for standing in contest if not standing.reached]


def shortfall(standing: Standing) -> str:
    """`PyTorch eager, infer …: ±2.31% in images/s …`: how far it got, and why no further."""
    widths = {"in images/s": standing.speed}
    if standing.ratio != 0:  # which the fastest itself has
        widths["against the fastest"] = standing.ratio
    stated = [
        f"{'no interval' if width is None else f'±{width:.2%}'} {what}"
        for what, width in widths.items()
    ]
    why = standing.obstacle or "interrupted: --resume goes on"
    return (
        f"{standing.cell.known_as}, {standing.cell.contest_label}: {', '.join(stated)} "
        f"after {standing.processes} good processes ({why})"
    )
