"""The ranking of each contest, as tables on the terminal."""

from rich.text import Text

from bench.analysis.contests import Contest, Summary
from bench.analysis.statistics import Estimate
from bench.cells import TRAINING
from bench.reports.formats.plain_table import PlainTable, plain_table
from bench.reports.report import Report
from bench.reports.text import decimals, number


def tables(report: Report) -> list[PlainTable]:
    """One ranking per contest, fastest first."""
    return [_table(contest) for contest in report.contests]


def _table(contest: Contest) -> PlainTable:
    training = contest.cell.workload in TRAINING
    table = plain_table(title=Text(f"\n{contest.label}", "table.title"))
    table.add_column("contender", no_wrap=True)
    for name in ("s to target" if contest.to_target else "images/s", "against fastest", "verdict"):
        table.add_column(name, justify="right", no_wrap=True)
    if contest.letters_needed:
        table.add_column("group", no_wrap=True)
    for name in ("peak MiB", *["accuracy"] * training):
        table.add_column(name, justify="right", no_wrap=True)
    for s in contest.summaries:
        if s.records:
            table.add_row(*_row(s, contest.letters_needed)[: len(table.columns)])
        else:
            table.add_row(Text(s.cell.label), s.failures[0].status, style="dim")
    return table


def _row(s: Summary, letters: bool) -> list[str | Text]:
    accuracy = s.test_accuracy
    return [
        Text(s.cell.label),
        _interval(s.seconds_to_target, 1) if s.to_target else _interval(s.throughput_images_per_s),
        _interval(s.speed_against_fastest, 2),
        s.verdict or "",
        *[s.group or "–"] * letters,
        number(s.median("host_peak_mib"), 0),
        "–" if accuracy is None else f"{accuracy:.1%}",
    ]


def _interval(estimate: Estimate | None, digits: int | None = None) -> Text:
    """The value, and its interval in dim letters; of a speed without `digits`."""
    if estimate is None:
        return Text("–")
    digits = decimals(estimate.value) if digits is None else digits
    text = Text(number(estimate.value, digits))
    if estimate.low is not None and estimate.high is not None:
        text.append(f" [{number(estimate.low, digits)}, {number(estimate.high, digits)}]", "dim")
    return text
