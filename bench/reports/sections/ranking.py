"""The report's section on one contest: its ranking, what there is to know of it, what it costs."""

from collections.abc import Callable, Mapping, Sequence

from bench.analysis.cold_start import cold_start
from bench.analysis.contests import Summary
from bench.reports.answer import achieved, answer, heading, leaders
from bench.reports.sections import around_blocks as state
from bench.reports.sections import fairness, time_to
from bench.reports.text import details, escape, interval, number, table

Column = Callable[[Summary], str | None]  # what it shows of a cell; None: not known


def section(contest: Sequence[Summary], title: str, *, fold: bool) -> str:
    """One contest; `fold`: to be opened by the reader."""
    ranked = [s for s in contest if s.records]
    if ranked:
        found = [*state.remarks(ranked), *fairness.remarks(ranked)]
        costs = f"### What it costs\n\n{_table(ranked, COSTS)}"
        ranking = time_to.section(contest) if time_to.is_one(contest) else _ranking(ranked)
        text = "\n\n".join([ranking, *found, costs])
    else:
        text = "Nothing could be measured."
    if fold:
        return details(title, f"{answer(contest)}\n\n{text}")
    return f"## {escape(title)}\n\n{text}"


def overview(contests: Sequence[Sequence[Summary]]) -> str:
    """One row for each contest: what is ahead, what comes next, and what to look out for."""
    rows = []
    for contest in contests:
        best, speed = leaders(contest), achieved(contest[0])
        slower = next((s for s in contest if s.verdict == "slower"), None)
        after = slower and f"{slower.cell.label} {interval(slower.speed_against_fastest, 2)}"
        rows.append(
            [
                heading(contest, contests),
                ", ".join(s.cell.label for s in best) or ("–" if speed else "nothing was measured"),
                speed or "–",
                after or "–",
                ", ".join(_trouble(contest)) or "–",
            ]
        )
    header = ["", "ahead, and what ties", "at", "next, against it", "look out"]
    return f"## Contests\n\n{table(header, rows)}"


def _trouble(contest: Sequence[Summary]) -> list[str]:
    """In single words: `busy`, `unfair`."""
    records = [record for s in contest for record in s.records]
    words = [word for word, is_so in state.COUNTS.items() if any(map(is_so, records))]
    return words + ["unfair"] * bool(fairness.remarks(contest))


def _ranking(ranked: Sequence[Summary]) -> str:
    columns: dict[str, Column] = {
        "images/s": lambda s: interval(s.throughput_images_per_s),
        "against fastest": lambda s: interval(s.speed_against_fastest, 2),
        "verdict": lambda s: s.verdict or "–",
        "group": lambda s: s.group or "–",
    }
    return _table(ranked, columns | BESIDE)


def _table(ranked: Sequence[Summary], columns: Mapping[str, Column]) -> str:
    """One row for each cell; columns of which nothing is known are left out."""
    shown = {title: [column(s) for s in ranked] for title, column in columns.items()}
    known = {title: cells for title, cells in shown.items() if any(cells)}
    rows = [
        [s.cell.label, *(cells[index] or "–" for cells in known.values())]
        for index, s in enumerate(ranked)
    ]
    return table(["", *known], rows)


def _median(field: str, digits: int) -> Column:
    def column(summary: Summary) -> str | None:
        value = summary.median(field)
        return None if value is None else number(value, digits)

    return column


def _accuracy(summary: Summary) -> str | None:
    value = summary.test_accuracy
    return None if value is None else f"{value:.1%}"


def _certificate(summary: Summary) -> str:
    """In one word; the section on certificates has both halves."""
    halves = {(r.certificate_float64, r.certificate_timed) for r in summary.records}
    known = {half for pair in halves for half in pair}
    if None not in known and all(half.startswith("passed") for half in known if half):
        instead = {half.partition(",")[0] for half in known if half} - {"passed"}
        return ", ".join(sorted(instead)) or "passed"  # such as "passed in fp32", of an engine
    return "none" if known == {None} else "in part"


def _cold_start(summary: Summary) -> str | None:
    found = cold_start(summary.records)
    return number(found.begun_s, 1) if found else None


BESIDE: dict[str, Column] = {
    "test accuracy": _accuracy,
    "certificate": _certificate,
    "of peak": _median("peak_fraction", 2),
    "cold start s": _cold_start,
    "host peak MiB": _median("host_peak_mib", 0),
    "device peak MiB": _median("device_peak_mib", 0),
}
COSTS: dict[str, Column] = {
    "latency ms": _median("step_ms_median", 1),
    "p95": _median("step_ms_p95", 1),
    "p99": _median("step_ms_p99", 1),
    "GFLOP/s": _median("achieved_gflop_per_s", 0),
    "first step s": _median("first_step_s", 2),
    "host MiB at set-up": _median("host_baseline_mib", 0),
    "device reserved MiB": _median("device_reserved_mib", 0),
    "device process MiB": _median("device_process_mib", 0),
    "J/image": _median("energy_j_per_image", 4),
    "final loss": _median("final_loss", 4),
}
