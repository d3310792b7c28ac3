"""The plots that lay contests over each other: batch sizes, and the machine's rooflines."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from bench.analysis.contests import Summary
from bench.analysis.roofline import Roofline, roofline
from bench.calibrate.peaks import peak_of
from bench.reports.answer import heading
from bench.reports.plots.series import Figure, Row
from bench.reports.text import number


def of_all(
    contests: Sequence[Sequence[Summary]], runs: Sequence[Mapping[str, Any]]
) -> list[Figure]:
    """A plot for each family of batch sizes and each measured peak; none without data."""
    return [*_scaling(contests), *_rooflines(contests, runs)]


def _scaling(contests: Sequence[Sequence[Summary]]) -> list[Figure]:
    """Speed over batch size, where contests differ in nothing else."""
    families: dict[tuple[Any, ...], list[Sequence[Summary]]] = {}
    for contest in contests:
        cell = replace(contest[0].cell, batch_size=0)
        family = (_machine(contest), contest[0].processor, *cell.contest)
        families.setdefault(family, []).append(contest)
    figures = []
    for members in families.values():
        rows = [
            {"label": s.cell.label, "batch": s.cell.batch_size, **_interval(s)}
            for contest in members
            for s in contest
            if s.throughput_images_per_s
        ]
        rows.sort(key=lambda row: (row["label"], row["batch"]))
        if len({row["batch"] for row in rows}) < 2:
            continue
        said = [
            f"{label} " + ", ".join(f"{number(row['value'])} at {row['batch']}" for row in own)
            for label, own in groupby(rows, key=lambda row: row["label"])
        ]
        without = heading(members[0], contests).split(" batch ")
        title = f"Batch size: {without[0]} {without[1].split(' ', 1)[1]}"
        summary = f"Images per second by batch size: {'; '.join(said)}."
        figures.append(Figure("scaling", title, summary, rows))
    return figures


def _interval(s: Summary) -> Row:
    e = s.throughput_images_per_s
    return {"value": e.value, "low": e.low, "high": e.high} if e else {}


def _machine(contest: Sequence[Summary]) -> str:
    return next(r for s in contest for r in (*s.records, *s.failures)).machine


def _rooflines(
    contests: Sequence[Sequence[Summary]], runs: Sequence[Mapping[str, Any]]
) -> list[Figure]:
    """One for each peak: cells of one machine, device, precision and number of threads."""
    peaks = {run["run_id"]: run.get("peaks") for run in runs}
    found: dict[str, tuple[Mapping[str, Any], list[Row]]] = {}
    for s in (s for contest in contests for s in contest if s.records):
        record = s.records[0]
        peak = peak_of(peaks.get(record.run_id), s.cell)
        limits = peak and roofline(s.cell, peak)
        reached = s.median("achieved_gflop_per_s")
        if peak and limits and reached:
            threads = f", {s.cell.threads} threads" if s.cell.threads else ""
            key = f"{record.machine}, {s.cell.device} {s.cell.precision}{threads}"
            row = {"label": s.cell.label, "contest": s.cell.contest_label, "gflops": reached}
            row |= {"flop_per_byte": limits.intensity_flop_per_byte, "workload": s.cell.workload}
            row |= {"of_roof": reached / min(peak["gflop_per_s"], _slope(peak, limits))}
            found.setdefault(key, (peak, []))[1].append(row)
    figures = []
    for key, (peak, rows) in found.items():
        ridge = peak["gflop_per_s"] / peak["copy_gb_per_s"]
        ends = [ridge, *(row["flop_per_byte"] for row in rows)]
        roof = [
            {"roof": x, "gflops": min(peak["gflop_per_s"], x * peak["copy_gb_per_s"])}
            for x in (min(ends) / 4, ridge, max(ends) * 4)
        ]
        best = max(rows, key=lambda row: row["of_roof"])
        summary = (
            f"Peaks: {number(peak['gflop_per_s'], 0)} GFLOP/s and "
            f"{number(peak['copy_gb_per_s'], 1)} GB/s. {len(rows)} cells lie below them; nearest "
            f"is {best['label']} ({best['contest']}) at {best['of_roof']:.0%} of its roof."
        )
        figures.append(Figure("roofline", f"Roofline: {key}", summary, [*roof, *rows]))
    return figures


def _slope(peak: Mapping[str, Any], limits: Roofline) -> float:
    return float(limits.intensity_flop_per_byte * peak["copy_gb_per_s"])
