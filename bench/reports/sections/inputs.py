"""What an input pipeline costs: training with it, and without."""

import statistics
from collections.abc import Sequence
from dataclasses import replace

from bench.analysis.statistics import speed_ratio
from bench.records import Record
from bench.reports.report import Report
from bench.reports.text import escape, interval, table

READING = (
    "**With** an input pipeline each batch is augmented, awaited and brought to the device in its "
    "step; **without**, all of them lie on the device before the first. The *ratio* is of blocks "
    "that ran in the same rounds. *Waiting* is the part of the time that training stood still for "
    "its next batch, *placing* that in which a batch went to the device; a pipeline that takes "
    "processors from training shows in the ratio alone. With input each step is awaited before the "
    "next begins, which is in the ratio too where a device could have been given work ahead. Every "
    "pipeline is checked to feed what was drawn from the seed: the labels of each batch, and one "
    "of its images in turn, byte for byte; *Same work* compares their fingerprints."
)


def section(report: Report) -> str:
    """One table for each contest of train+input; empty where there is none."""
    every = {(contest.place, s.cell): s for contest in report.contests for s in contest.summaries}
    parts = []
    for contest in report.contests:
        rows = []
        for s in contest.ranked:
            if s.cell.input is None:
                continue
            plain = every.get((contest.place, replace(s.cell, workload="train", input=None)))
            rows.append(
                [
                    s.cell.known_as,
                    interval(s.throughput_images_per_s),
                    interval(plain.throughput_images_per_s if plain else None),
                    interval(speed_ratio(s.records, plain.records) if plain else None, 2),
                    _share(s.records, "block_wait_s"),
                    _share(s.records, "block_place_s"),
                ]
            )
        if rows:
            header = [
                "contender",
                "with, images/s",
                "without, images/s",
                "ratio",
                "waiting",
                "placing",
            ]
            parts += [f"### {escape(report.name_of(contest))}", table(header, rows)]
    return "\n\n".join(["## Input", READING, *parts]) if parts else ""


def _share(records: Sequence[Record], field: str) -> str:
    """Median over processes of the part of their blocks' time; a dash where unknown."""
    shares = [sum(getattr(r, field)) / sum(r.block_s) for r in records if getattr(r, field)]
    return f"{statistics.median(shares):.1%}" if shares else "–"
