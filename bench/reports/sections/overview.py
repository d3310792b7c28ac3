"""The list of contests, where they are many."""

from bench.analysis.contests import Contest
from bench.reports.answer import achieved, leaders
from bench.reports.report import Report
from bench.reports.sections import around_blocks, effective_settings
from bench.reports.text import interval, table


def section(report: Report) -> str:
    """One row for each contest: what is ahead, what comes next, and warnings; empty for a few."""
    if not report.many:
        return ""
    rows = []
    for contest in report.contests:
        best, speed = leaders(contest), achieved(contest.fastest)
        slower = next((s for s in contest.summaries if s.verdict == "slower"), None)
        after = slower and f"{slower.cell.known_as} {interval(slower.speed_against_fastest, 2)}"
        rows.append(
            [
                report.name_of(contest),
                ", ".join(s.cell.known_as for s in best)
                or ("–" if speed else "nothing was measured"),
                speed or "–",
                after or "–",
                ", ".join(_warnings(contest)) or "–",
            ]
        )
    header = ["contest", "ahead, and what ties", "at", "next, against it", "warnings"]
    return f"## Contests\n\n{table(header, rows)}"


def _warnings(contest: Contest) -> list[str]:
    """In single words: `busy`, `unfair`."""
    words = [
        word for word, is_so in around_blocks.KINDS.items() if any(map(is_so, contest.records))
    ]
    return words + ["unfair"] * bool(effective_settings.remarks(contest))
