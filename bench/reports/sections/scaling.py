"""Data-parallel training: speed against the number of ranks, its efficiency, and the exchange."""

from bench.analysis.contests import Summary
from bench.analysis.scaling import Scaled, scaled
from bench.reports.report import Report
from bench.reports.text import escape, interval, number, table

READING = """\
Each rank trains on an equal part of every batch, and all take the same step by the mean of their
gradients. *Speed-up* is the ratio of images/s to those of one rank of the same contender, from
blocks that ran in the same rounds: for *strong* scaling at the same batch size, for *weak* scaling
at the same batch size per rank. *Efficiency* is the part of it that the processors allow. Of GPUs
each rank has one, so that N ranks could be N times as fast as one. CPUs are shared: N ranks have
the processors that one rank has alone, and could be as fast. There a loss is the price of dividing
the work; beyond 1, the processors do more when they work apart. *Exchange* is what a step takes
beyond the same step without it, when each rank trains on its part alone: communication that no
computation hides, and waiting for the slowest rank. It is measured after all timed blocks; a dash
stands where a framework offers no such step. Below 0 is noise."""
HEADER = (
    *("contender", "ranks", "batch", "per rank", "images/s", "scaling", "speed-up"),
    *("efficiency", "exchange"),
)


def section(report: Report) -> str:
    """One table for all world sizes of what else is alike; empty where there is none."""
    by_cell: dict[tuple[str, object], list[Scaled]] = {}
    for each in scaled(report.contests):
        by_cell.setdefault((each.summary.machine, each.summary.cell), []).append(each)
    groups: dict[str, list[Summary]] = {}
    for contest in report.contests:
        if contest.cell.world_size:
            label = contest.cell.contest_label_without("world_size", "batch_size")
            groups.setdefault(f"{label} on {contest.place}", []).extend(contest.ranked)
    parts = []
    for title, summaries in groups.items():
        rows = []
        for s in sorted(summaries, key=_order):
            against = by_cell.get((s.machine, s.cell), [None])
            rows += [_row(s, each) for each in against]
        parts += [f"### {escape(title)}", table(HEADER, rows)]
    return "\n\n".join(["## Scaling", READING, *parts]) if parts else ""


def _order(s: Summary) -> tuple[str, int, int]:
    return s.cell.label, s.cell.batch_size, s.cell.world_size or 0


def _row(s: Summary, against: Scaled | None) -> list[str]:
    ranks, share = s.cell.world_size or 1, s.median("communication_share")
    return [
        s.cell.label,
        str(ranks),
        str(s.cell.batch_size),
        str(s.cell.batch_size // ranks),
        interval(s.throughput_images_per_s),
        against.kind if against else "–",
        interval(against.speed_up if against else None, 2),
        interval(against.efficiency if against else None, 2),
        "–" if share is None else f"{number(100 * share, 0)} %",
    ]
