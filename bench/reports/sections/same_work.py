"""Whether rows that are compared began from the same bytes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bench.records import Record
from bench.reports.report import Report
from bench.reports.text import escape


def section(report: Report) -> str:
    """One line for each contest and seed, on weights and batches."""
    contests: dict[tuple[Any, ...], list[Record]] = {}
    for r in report.records:
        if r.status == "ok":
            contests.setdefault((*r.cell.contest, r.weights_seed), []).append(r)
    lines = []
    for rows in contests.values():
        label = replace(rows[0].cell, seed=rows[0].weights_seed).contest_label
        weights = _same([r.weights_sha256 for r in rows])
        batches = _same([r.data_sha256 for r in rows])
        lines.append(f"- {escape(label)}: initial weights {weights}, batches {batches}")
    return "## Same work\n\n" + ("\n".join(lines) or "Nothing was measured.")


def _same(fingerprints: Sequence[str | None]) -> str:
    prints = {each for each in fingerprints if each is not None}
    if None in fingerprints:
        return "unknown"
    if len(prints) == 1:
        return f"the same in all {len(fingerprints)} processes ({prints.pop()[:12]})"
    return f"**DIFFERENT** ({', '.join(sorted(each[:12] for each in prints))})"
