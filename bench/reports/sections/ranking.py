"""The ranking of each contest, and what there is to know of its cells."""

import statistics
from collections.abc import Callable, Mapping, Sequence

from bench.analysis.cold_start import cold_start
from bench.analysis.contests import Contest, Summary
from bench.records import Record
from bench.reports.answer import answer
from bench.reports.report import Report
from bench.reports.sections import answers, around_blocks, effective_settings
from bench.reports.text import details, escape, interval, number, table

Column = Callable[[Summary], str | None]  # what it shows of a cell; None: not known


def section(report: Report) -> str:
    """One part for each contest; where contests are many, each to be opened by the reader."""
    if not report.many:
        return "\n\n".join(
            f"## {escape(report.name_of(contest))}\n\n{_contest(contest)}"
            for contest in report.contests
        )
    parts = [
        details(
            report.name_of(contest),
            f"{answers.line(answer(contest, report))}\n\n{_contest(contest)}",
        )
        for contest in report.contests
    ]
    return "\n\n".join(["## Rankings", *parts])


def _contest(contest: Contest) -> str:
    """The ranking, remarks on it, and what its cells cost."""
    if not contest.ranked:
        return "Nothing could be measured."
    parts = [
        _ranking(contest),
        *around_blocks.remarks(contest),
        *effective_settings.remarks(contest),
        *_warm(contest),
        f"### What it costs\n\n{_table(contest, COSTS)}",
    ]
    return "\n\n".join(parts)


def _warm(contest: Contest) -> list[str]:
    """Whose later processes did not compile for themselves; nothing where all did."""
    warm = [s.cell.known_as for s in contest.ranked if any(map(_is_warm, s.records))]
    if not warm:
        return []
    return [
        "Compiled by the first process alone (`--share-compile-cache`): "
        f"{escape(', '.join(warm))}. What they took to begin and the peaks of their memory are "
        "that process's. The intervals do not hold the luck of a compiler that chooses kernels by "
        "trying them."
    ]


def _is_warm(record: Record) -> bool:
    return bool(record.compile_cache_warm)


def _ranking(contest: Contest) -> str:
    """The table, and how far those processes got that did not reach their target."""
    columns = CATALOGUE | (TIMES if contest.to_target else SPEEDS | BESIDE)
    if not contest.letters_needed:
        columns.pop("group")
    missed = [
        f"- {escape(s.cell.known_as)}, seed {r.drawn_seed}: {escape(r.reason)}."
        for s in contest.ranked
        for r in s.records
        if contest.to_target and r.reached_train_s is None and r.reason
    ]
    return "\n\n".join(filter(None, [_table(contest, columns), "\n".join(missed)]))


def _table(contest: Contest, columns: Mapping[str, Column]) -> str:
    """One row for each cell; columns of which nothing is known are left out."""
    shown = {title: [column(s) for s in contest.ranked] for title, column in columns.items()}
    known = {title: cells for title, cells in shown.items() if any(cells)}
    rows = [
        [s.cell.known_as, *(cells[index] or "–" for cells in known.values())]
        for index, s in enumerate(contest.ranked)
    ]
    return table(["contender", *known], rows)


def _arrived(summary: Summary) -> list[Record]:
    return [r for r in summary.records if r.reached_train_s is not None]


def _seconds(summary: Summary) -> str:
    return _range([r.reached_train_s or 0.0 for r in _arrived(summary)], 1)


def _steps(summary: Summary) -> str:
    steps = [r.reached_steps for r in _arrived(summary) if r.reached_steps is not None]
    return f"{statistics.median(steps):g} ({_range(steps, 0)})" if steps else "–"


def _range(values: Sequence[float], digits: int) -> str:
    if not values:
        return "–"
    return f"{number(min(values), digits)} – {number(max(values), digits)}"


def _reached(summary: Summary) -> str:
    return f"{len(_arrived(summary))} of {len(summary.records) + len(summary.failures)}"


def _against(summary: Summary) -> str:
    return interval(summary.speed_against_fastest, 2)


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


CATALOGUE: dict[str, Column] = {"in the catalogue": lambda s: s.cell.label}
SPEEDS: dict[str, Column] = {
    "images/s": lambda s: interval(s.throughput_images_per_s),
    "against fastest": _against,
    "verdict": lambda s: s.verdict or "–",
    "group": lambda s: s.group or "–",
}
TIMES: dict[str, Column] = {
    "s to target": lambda s: interval(s.seconds_to_target, 1),
    "fastest – slowest": _seconds,
    "first step s": _median("first_step_s", 1),
    "against fastest": _against,
    "verdict": lambda s: s.verdict,
    "group": lambda s: s.group,
    "reached": _reached,
    "steps, median (range)": _steps,
    "evaluation s": _median("evaluation_s", 1),
    "test accuracy": _accuracy,
}
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
    "device program MiB": _median("device_program_mib", 0),
    "J/image": _median("energy_j_per_image", 4),
    "final loss": _median("final_loss", 4),
}
