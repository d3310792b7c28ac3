"""Inference under load: speed and latency against the number of requests under way at once."""

from dataclasses import replace

from bench.analysis.contests import Summary
from bench.analysis.latency import quantiles
from bench.analysis.statistics import speed_ratio
from bench.reports.report import Report
from bench.reports.text import escape, interval, number, table

READING = """\
Each *stream* is a caller that asks for one batch, and for the next as soon as it is answered; the
processors are divided among the streams. *Against one* is the ratio of images/s to one stream of
the same contender, from blocks that ran in the same rounds: beyond 1, the processors do more when
they work apart. Latencies are those of single requests, each beside the others, over all processes.
It is a closed loop: MLPerf's offline scenario with few callers, not its server, whose requests come
at random times. The answers of every stream are compared with those of the certified network."""
HEADER = ("contender", "streams", "images/s", "against one", "p50 ms", "p95 ms", "p99 ms")


def section(report: Report) -> str:
    """One table for all numbers of streams of what else is alike; empty where there is none."""
    groups: dict[str, list[Summary]] = {}
    for contest in report.contests:
        if contest.cell.streams:
            title = f"{contest.cell.contest_label_without('streams')} on {contest.place}"
            groups.setdefault(title, []).extend(contest.ranked)
    parts = []
    for title, summaries in groups.items():
        by_cell = {s.cell: s for s in summaries}
        ordered = sorted(summaries, key=lambda s: (s.cell.known_as, s.cell.streams or 0))
        rows = [_row(s, by_cell.get(replace(s.cell, streams=1))) for s in ordered]
        parts += [f"### {escape(title)}", table(HEADER, rows)]
    return "\n\n".join(["## Inference under load", READING, *parts]) if parts else ""


def _row(s: Summary, one: Summary | None) -> list[str]:
    latencies = quantiles([each for record in s.records for each in record.latency_ms])
    return [
        s.cell.known_as,
        str(s.cell.streams),
        interval(s.throughput_images_per_s),
        interval(speed_ratio(s.records, one.records) if one and one is not s else None, 2),
        *(number(latencies[name], 2) for name in ("median", "p95", "p99")),
    ]
