"""The processes that measured nothing, and why."""

from collections import Counter

from bench.reports.report import Report
from bench.reports.text import details, table

MANY = 8  # rows from which on the table is folded


def section(report: Report) -> str:
    """One row for each reason of each cell; where they are many, below their number."""
    processes: dict[tuple[str, str, str, str, str], list[str]] = {}
    for contest in report.contests:
        for r in contest.failures:
            names = (r.cell.known_as, r.cell.label)  # the latter else stands in the ranking
            what = (*names, report.name_of(contest), r.status, r.reason or "–")
            processes.setdefault(what, []).append(str(r.replicate))
    if not processes:
        return ""
    rows = [
        [*names, ", ".join(which), status, reason]
        for (*names, status, reason), which in processes.items()
    ]
    header = ["contender", "in the catalogue", "contest", "process", "status", "reason"]
    text = table(header, rows)
    if len(rows) > MANY:
        counts = Counter(status for *_, status, _ in rows)
        stated = ", ".join(f"{count} {status}" for status, count in counts.most_common())
        text = f"{len(rows)} cells: {stated}.\n\n{details('Each with its reason', text)}"
    return f"## Not ranked\n\n{text}"
