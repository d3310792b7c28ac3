"""`history.html`: the history as a page of the house, with a plot and a table for each contest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.analysis.history import History
from bench.reports.history.markdown import Link
from bench.reports.history.told import READING, answer, change_text, figures, in_order, name_of
from bench.reports.plots.series import Figure
from bench.reports.text import interval


@dataclass(frozen=True)
class Row:
    """One run of a contender, as the table of its contest has it."""

    label: str
    shown: str  # date, version or commit
    run: str
    address: str  # of its report
    speed: str
    change: str


@dataclass(frozen=True)
class HistoryPage:
    """All that the page shows."""

    title: str
    by: str
    answers: Sequence[str]
    figures: Sequence[Figure]
    tables: Mapping[str, Sequence[Row]]  # of each contest, by the heading of its figure
    reading: str
    remarks: Sequence[str]


def page_of(history: History, address: Link) -> HistoryPage:
    """What the page shows of a history; `address` says where the report of a run is."""
    tables: dict[str, list[Row]] = {}
    for series in in_order(history):
        rows = tables.setdefault(name_of(series, history.series), [])
        changes = {change.at: change for change in series.changes}
        for index, point in enumerate(series.points):
            change = changes.get(index)
            rows.append(
                Row(
                    label=series.cell.label,
                    shown=point.label,
                    run=point.run.run_id,
                    address=address(point.run),
                    speed=interval(point.speed, 3),
                    change=f"{100 * (change.ratio.value - 1):+.1f} %" if change else "–",
                )
            )
    changes_told = [
        f"{name_of(series, history.series)}: {change_text(series, change)}"
        for series in history.series
        for change in series.changes
    ]
    return HistoryPage(
        title=f"History against {history.control}",
        by=history.by,
        answers=[answer(history), *changes_told],
        figures=figures(history),
        tables=tables,
        reading=READING,
        remarks=history.remarks,
    )
