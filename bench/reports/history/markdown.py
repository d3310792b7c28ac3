"""`history.md`: the changes first, then each contender's speed in each run."""

from collections.abc import Callable
from itertools import groupby

from bench.analysis.history import History, Series
from bench.records import Run
from bench.reports.history.told import READING, answer, change_text, in_order, name_of
from bench.reports.text import escape, interval, link, table_row

Link = Callable[[Run], str]  # of a run -> the address of its report


def render(history: History, address: Link) -> str:
    """The history as Markdown; `address` says where the report of a run is."""
    parts = ["# History", escape(answer(history))]
    changes = [
        f"- {escape(name_of(series, history.series))}: {escape(change_text(series, change))}"
        for series in history.series
        for change in series.changes
    ]
    if changes:
        parts.append("## Changes\n\n" + "\n".join(changes))
    for name, of in groupby(in_order(history), key=lambda each: name_of(each, history.series)):
        parts.append(f"## {escape(name)}")
        parts += [_table(series, history.by, address) for series in of]
    parts.append(f"## How to read this\n\n{READING}")
    if history.remarks:
        parts.append("## Remarks\n\n" + "\n".join(f"- {escape(each)}" for each in history.remarks))
    return "\n\n".join(parts) + "\n"


def _table(series: Series, by: str, address: Link) -> str:
    changes = {change.at: change for change in series.changes}
    rows = []
    for index, point in enumerate(series.points):
        change = changes.get(index)
        told = f"**{100 * (change.ratio.value - 1):+.1f} %**" if change else ""
        run = link(point.run.run_id, address(point.run))
        rows.append(table_row([escape(point.label), run, interval(point.speed, 3), told]))
    head = table_row([by, "run", "speed over the control's", "change"])
    lines = [head, table_row(["---", "---", "---:", "---"]), *rows]
    return f"### {escape(series.cell.label)}\n\n" + "\n".join(lines)
