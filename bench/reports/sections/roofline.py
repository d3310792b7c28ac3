"""The report's section on what the machine allows."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.analysis.contests import Summary
from bench.analysis.roofline import roofline
from bench.calibrate.peaks import peak_of
from bench.reports.text import escape, number, table

READING = (
    "Peaks are the fastest matrix product and copy of this machine, measured by its own libraries. "
    "*Of peak* in the tables above is GFLOP/s over the peak: more than 1 where a library beats the "
    "plain product. A cell that computes fewer FLOP for each byte than the *ridge*, at which copy "
    "and product take equally long, is bound by bandwidth. The bytes are a model: outputs of "
    "convolutions written and read once, weights read once per batch, all else fused; a training "
    "step takes three times as many. So the ceiling is that of a perfect framework."
)


def section(contests: Sequence[Sequence[Summary]], runs: Sequence[Mapping[str, Any]]) -> str:
    """Measured peaks, and the ceiling of each contest below them; empty where none was measured."""
    lines = []
    for run in runs:
        for device, found in run.get("peaks", {}).items():
            for key, peak in found.items():
                threads, _, precision = key.partition("/")
                lines.append(
                    f"- {escape(run['machine']['machine'])}, {device}, threads {threads}, "
                    f"{precision}: {number(peak['gflop_per_s'], 0)} GFLOP/s "
                    f"({escape(peak['library'])}), copy {number(peak['copy_gb_per_s'], 1)} GB/s"
                )
    if not lines:
        return ""
    rows = []
    peaks = {run["run_id"]: run.get("peaks") for run in runs}
    for contest in contests:
        record = next((row for s in contest for row in s.records), None)
        peak = record and peak_of(peaks.get(record.run_id), record.cell)
        limits = record and peak and roofline(record.cell, peak)
        if record and limits:
            rows.append(
                [
                    f"{record.cell.contest_label} on {record.machine}",
                    number(limits.intensity_flop_per_byte, 1),
                    number(limits.ridge_flop_per_byte, 1),
                    limits.bound,
                    number(limits.ceiling_images_per_s),
                ]
            )
    header = ["", "FLOP per byte", "ridge", "bound by", "ceiling images/s"]
    listed = "\n".join(dict.fromkeys(lines))
    return "\n\n".join(["## Roofline", listed, *([table(header, rows)] if rows else []), READING])
