"""The ranking of each contest, as tables on the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from bench.analysis.contests import summarise
from bench.analysis.statistics import Estimate
from bench.cells import TRAINING
from bench.records import Record
from bench.reports.sections import time_to
from bench.reports.text import decimals


def tables(records: Sequence[Record], runs: Sequence[Mapping[str, Any]]) -> list[Table]:
    """One ranking per contest, fastest first."""
    rankings = []
    for contest in summarise(records, runs):
        training = contest[0].cell.workload in TRAINING
        to_target = time_to.is_one(contest)
        table = Table(
            title="\n" + contest[0].cell.contest_label,
            title_justify="left",
            box=None,
            header_style="dim",
            pad_edge=False,
        )
        table.add_column("", no_wrap=True)
        for name in ("s to target" if to_target else "images/s", "against fastest", ""):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("group", no_wrap=True)
        for name in ("peak MiB", *["accuracy"] * training):
            table.add_column(name, justify="right", no_wrap=True)
        for s in contest:
            if not s.records:
                table.add_row(Text(s.cell.label), s.failures[0].status, style="dim")
                continue
            row: list[str | Text] = [
                Text(s.cell.label),
                _interval(s.seconds_to_target, ",.1f")
                if to_target
                else _interval(s.throughput_images_per_s),
                _interval(s.speed_against_fastest, ".2f"),
                s.verdict or "",
                s.group or "–",
                _number(s.median("host_peak_mib"), ",.0f"),
            ]
            if training:
                row.append(_number(s.test_accuracy, ".1%"))
            table.add_row(*row)
        rankings.append(table)
    return rankings


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _interval(estimate: Estimate | None, form: str | None = None) -> Text:
    if estimate is None:
        return Text("–")
    form = form or f",.{decimals(estimate.value)}f"
    text = Text(format(estimate.value, form))
    if estimate.low is not None and estimate.high is not None:
        text.append(f" [{estimate.low:{form}}, {estimate.high:{form}}]", "dim")
    return text
