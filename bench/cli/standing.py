"""How a contest stands while it is measured: a line after each replicate, a table on a terminal."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from bench.analysis.contests import Contest, Summary
from bench.analysis.ranking import contests_of
from bench.analysis.statistics import Estimate
from bench.cells import Cell
from bench.cli.plan import minutes
from bench.records import Record, Run
from bench.words import plural

if TYPE_CHECKING:
    from rich.table import Table

    from bench.plan.remaining import Remaining

NAMED = 5  # contenders of a line


def contests(records: Iterable[Record], run: Run, cells: Iterable[Cell]) -> list[Contest]:
    """How the contests of `cells` stand, by all records of the run so far."""
    wanted = {cell.contest for cell in cells}
    return [
        contest
        for contest in contests_of((row for row in records if row.cell.contest in wanted), [run])
        if contest.ranked
    ]


def order(contest: Contest) -> str:
    """`train …, 2 processes: torch_module eager 1.00, flax_nnx compiled 0.58 [0.54, 0.62]`."""
    processes = max(len(summary.records) for summary in contest.ranked)
    first = [f"{each.cell.label} {_against(each)}" for each in contest.ranked[:NAMED]]
    more = len(contest.ranked) - len(first)
    named = ", ".join(first) + (f" and {more} more" if more else "")
    return f"order of {contest.label}, {plural(processes, 'process')} each: {named}"


def table(contest: Contest) -> "Table":
    """The ranking of a contest, as narrow as it can be."""
    from bench.reports.formats.plain_table import plain_table

    found = plain_table(title=f"{contest.label}, so far")
    found.add_column("contender", no_wrap=True)
    for name in ("s to target" if contest.to_target else "images/s", "against fastest"):
        found.add_column(name, justify="right", no_wrap=True)
    for each in contest.ranked:
        value = each.seconds_to_target if contest.to_target else each.throughput_images_per_s
        found.add_row(each.cell.label, _interval(value, ".4g"), _against(each))
    return found


def progress(remaining: "Remaining") -> str:
    """`3 of 48 processes, about 6 min left`."""
    counted = f"{remaining.ended} of {plural(remaining.processes, 'process')}"
    left_s = remaining.left_s
    if left_s is None:
        return f"{counted}, time left unknown until each has run once"
    known = "at least" if remaining.unknown else "about"
    return f"{counted}, {known} {minutes(left_s)} left"


def _against(summary: Summary) -> str:
    return _interval(summary.speed_against_fastest, ".2f")


def _interval(value: Estimate | None, form: str) -> str:
    if value is None:
        return "?"
    if value.low is None or value.high is None:
        return f"{value.value:{form}}"
    return f"{value.value:{form}} [{value.low:{form}}, {value.high:{form}}]"
