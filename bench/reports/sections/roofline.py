"""What the machine allows: its measured peaks, and the ceiling of each contest below them."""

from bench.analysis.roofline import roofline
from bench.reports.report import Report
from bench.reports.text import escape, number, table

READING = (
    "Peaks are the fastest matrix product and copy of this machine, measured by its own libraries. "
    "*Of peak* in the tables above is GFLOP/s over the peak of the best moment: more than 1 where "
    "a library beats the plain product. What is kept up over a second is less on a GPU at its "
    "limit of power, and binds a workload. A cell that computes fewer FLOP for each byte than the "
    "*ridge*, at which copy and product take equally long, is bound by bandwidth. The bytes are a "
    "model: outputs of convolutions written and read once, weights read once per batch, all else "
    "fused; a training step takes three times as many. So the ceiling is that of a perfect "
    "framework."
)


def section(report: Report) -> str:
    """Measured peaks, and the ceiling of each contest below them; empty where none was measured."""
    lines = []
    for run in report.runs:
        for device, found in (run.peaks or {}).items():
            for key, peak in found.items():
                threads, _, precision = key.partition("/")
                kept = peak.sustained_gflop_per_s
                where = f"{run.machine.machine}, {device}, threads {threads}, {precision}"
                lines.append(
                    f"- {escape(where)}: "
                    f"{number(peak.gflop_per_s, 0)} GFLOP/s ({escape(peak.library)}"
                    f"{f', {number(kept, 0)} over a second' if kept else ''}), "
                    f"copy {number(peak.copy_gb_per_s, 1)} GB/s"
                )
    if not lines:
        return ""
    runs = {run.run_id: run for run in report.runs}
    rows = []
    for contest in report.contests:
        of = runs.get(contest.records[0].run_id) if contest.records else None
        roof = of and of.peak_of(contest.cell)
        if roof and (limits := roofline(contest.cell, roof)):
            rows.append(
                [
                    f"{contest.label} on {contest.machine}",
                    number(limits.intensity_flop_per_byte, 1),
                    number(limits.ridge_flop_per_byte, 1),
                    limits.bound,
                    number(limits.ceiling_images_per_s),
                ]
            )
    header = ["contest", "FLOP per byte", "ridge", "bound by", "ceiling images/s"]
    listed = "\n".join(dict.fromkeys(lines))
    return "\n\n".join(["## Roofline", listed, *([table(header, rows)] if rows else []), READING])
