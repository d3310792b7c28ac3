"""What a history says in words and figures, whatever it is written as."""

from collections.abc import Sequence
from itertools import groupby

from bench.analysis.change_points import LEAST, Change
from bench.analysis.history import History, Point, Series
from bench.reports.plots.series import Figure, Row
from bench.reports.text import interval
from bench.words import plural

READING = (
    "Speeds are those of a contender over the control's, in the same rounds, so that what the "
    "machine did between the runs cancels; brackets are 95 % intervals over the processes of a "
    "run. A change is named where Student's t of the runs before and after it is larger than "
    "chance makes the largest of so many splits, all series judged together: of 100 histories "
    f"without a change, 5 name one. It takes {LEAST} runs to see it, and one bad run is none. "
    "Where runs wander, each like the one before, more is named than there is: choose a control "
    "that the machine moves alike."
)


def name_of(series: Series, every: Sequence[Series]) -> str:
    """The contest of a series, with its machine where there are several."""
    several = len({(each.machine, each.processor) for each in every}) > 1
    place = f", on {series.machine}, {series.processor}" if several else ""
    return series.cell.contest_label + place


def change_text(series: Series, change: Change) -> str:
    """`flax_nnx compiled: 5.0 % [4.2, 5.8] slower from 2026-11-03 02:00 (nightly-3) on`."""
    point = series.points[change.at]
    lost = [1 - r for r in (change.ratio.value, change.ratio.high, change.ratio.low) if r]
    sign = 1 if lost[0] > 0 else -1
    low, high = sorted(100 * sign * value for value in lost[1:])
    size = f"{abs(100 * lost[0]):.1f} % [{low:.1f}, {high:.1f}]"
    how = "slower" if sign > 0 else "faster"
    before = series.points[change.at - 1]
    return (
        f"{series.cell.label}: {size} {how} from {point.label} ({point.run.run_id}) on; the run "
        f"before was {before.label} ({before.run.run_id})"
    )


def answer(history: History) -> str:
    """The first sentence: how much was looked at, and whether something has changed."""
    runs = len({(p.run.run_id, p.run.utc) for s in history.series for p in s.points})
    count = sum(len(each.changes) for each in history.series)
    found = plural(count, "change") if count else "No change"
    series = f"{len(history.series)} series"
    return f"{found} of speed in {plural(runs, 'run')}, {series}, against {history.control}."


def in_order(history: History) -> list[Series]:
    """The series by contest, and in it by contender."""
    names = {id(each): name_of(each, history.series) for each in history.series}
    return sorted(history.series, key=lambda each: (names[id(each)], each.cell.label))


def _run(point: Point) -> tuple[str, str]:
    return point.run.utc or "", point.run.run_id


def figures(history: History) -> list[Figure]:
    """A plot for each contest: a curve for each contender, its changes marked."""
    found = []
    for name, of in groupby(in_order(history), key=lambda each: name_of(each, history.series)):
        every = list(of)
        runs = sorted({_run(point) for series in every for point in series.points})
        by_time = history.by != "version"  # of which each framework has its own
        rows: list[Row] = [
            {
                "label": series.cell.label,
                "place": runs.index(_run(point)) if by_time else index,
                "run": point.run.run_id,
                "shown": point.label,
                "value": point.speed.value,
                "low": point.speed.low,
                "high": point.speed.high,
                "changed": "yes" if index in {c.at for c in series.changes} else "no",
            }
            for series in every
            for index, point in enumerate(series.points)
        ]
        said = "; ".join(
            f"{s.cell.label} from {interval(s.points[0].speed, 2)} to "
            f"{interval(s.points[-1].speed, 2)}"
            for s in every
        )
        title = f"Speed over that of {history.control}"
        found.append(Figure("history", name, title, f"{title}: {said}.", rows))
    return found
