"""The plots that lay contests over each other: batch sizes, and the machine's rooflines."""

from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from bench.analysis.contests import Contest, Summary
from bench.analysis.roofline import ridge_flop_per_byte, roof_gflop_per_s, roofline
from bench.analysis.scaling import Scaled, scaled
from bench.analysis.statistics import Estimate
from bench.records.run import Peak
from bench.reports.plots.series import Figure, Row
from bench.reports.report import Report
from bench.reports.text import number
from bench.words import plural

HEADING = "Across contests"


def of_all(report: Report) -> list[Figure]:
    """A plot for each family of batch sizes and of world sizes, and for each measured peak; none
    without data.
    """
    return [*_scaling(report), *_ranks(report), *_rooflines(report)]


def _scaling(report: Report) -> list[Figure]:
    """Speed over batch size, where contests differ in nothing else."""
    families: dict[tuple[Any, ...], list[Contest]] = {}
    for contest in report.contests:
        shared = contest.cell.contest_without("batch_size")
        families.setdefault((contest.machine, contest.processor, *shared), []).append(contest)
    figures = []
    for family in families.values():
        points = [
            (s.cell.known_as, s.cell.batch_size, speed)
            for contest in family
            for s in contest.ranked
            if (speed := s.throughput_images_per_s)
        ]
        points.sort(key=lambda point: point[:2])
        if len({batch for _, batch, _ in points}) > 1:
            title = f"Batch size: {family[0].cell.contest_label_without('batch_size')}"
            place = f", on {family[0].place}" if report.several_places else ""
            figures.append(_scaling_figure(title + place, points))
    return figures


def _scaling_figure(title: str, points: list[tuple[str, int, Estimate]]) -> Figure:
    said = [
        f"{label} " + ", ".join(f"{number(speed.value)} at {batch}" for _, batch, speed in own)
        for label, own in groupby(points, key=lambda point: point[0])
    ]
    rows: list[Row] = [
        {"label": label, "batch": batch, "value": e.value, "low": e.low, "high": e.high}
        for label, batch, e in points
    ]
    summary = f"Images per second by batch size: {'; '.join(said)}."
    return Figure("scaling", HEADING, title, summary, rows)


def _ranks(report: Report) -> list[Figure]:
    """Efficiency over the number of ranks, of what is alike but for that and the batch size."""
    families: dict[str, list[Scaled]] = {}
    for each in scaled(report.contests):
        title = each.summary.cell.contest_label_without("world_size", "batch_size")
        place = f", on {each.summary.machine}" if report.several_places else ""
        families.setdefault(title + place, []).append(each)
    return [_ranks_figure(f"Ranks: {title}", family) for title, family in families.items()]


def _ranks_figure(title: str, family: list[Scaled]) -> Figure:
    rows: list[Row] = []
    said = []
    for each in family:
        cell, e = each.summary.cell, each.efficiency
        ranks = cell.world_size or 1
        batch = cell.batch_size if each.kind == "strong" else cell.batch_size // ranks
        per_rank = " per rank" if each.kind == "weak" else ""
        label = f"{cell.known_as}, {each.kind}, batch {batch}{per_rank}"
        whole: Row = {"label": label, "ranks": 1, "value": 1.0, "low": None, "high": None}
        rows += [] if whole in rows else [whole]
        rows.append(
            {"label": label, "ranks": ranks, "value": e.value, "low": e.low, "high": e.high}
        )
        said.append(f"{label} {e.value:.0%} with {plural(ranks, 'rank')}")
    summary = f"Efficiency against one rank, from the same rounds: {'; '.join(said)}."
    return Figure("ranks", HEADING, title, summary, rows)


@dataclass(frozen=True)
class _Point:
    """A cell below a roof."""

    summary: Summary
    flop_per_byte: float
    gflop_per_s: float
    of_roof: float  # what it reached of the roof at its intensity


@dataclass(frozen=True)
class _Roof:
    """A peak, and the cells below it."""

    peak: Peak
    points: list[_Point] = field(default_factory=list)


def _rooflines(report: Report) -> list[Figure]:
    """One for each peak: cells of one machine, device, precision and number of threads."""
    runs = {run.run_id: run for run in report.runs}
    roofs: dict[str, _Roof] = {}
    for s in (s for contest in report.contests for s in contest.ranked):
        run = runs.get(s.records[0].run_id)
        peak = run and run.peak_of(s.cell)
        limits = peak and roofline(s.cell, peak)
        reached = s.median("achieved_gflop_per_s")
        if peak and limits and reached:
            threads = f", {plural(s.cell.threads, 'thread')}" if s.cell.threads else ""
            name = f"{s.machine}, {s.cell.device} {s.cell.precision}{threads}"
            intensity = limits.intensity_flop_per_byte
            share = reached / roof_gflop_per_s(peak, intensity)
            point = _Point(s, intensity, reached, share)
            roofs.setdefault(name, _Roof(peak)).points.append(point)
    return [_roofline_figure(name, roof) for name, roof in roofs.items()]


def _roofline_figure(name: str, roof: _Roof) -> Figure:
    ridge = ridge_flop_per_byte(roof.peak)
    ends = [ridge, *(point.flop_per_byte for point in roof.points)]
    rows: list[Row] = [
        {"roof": x, "gflops": roof_gflop_per_s(roof.peak, x)}
        for x in (min(ends) / 4, ridge, max(ends) * 4)
    ]
    rows += [
        {
            "label": point.summary.cell.known_as,
            "contest": point.summary.cell.contest_label,
            "gflops": point.gflop_per_s,
            "flop_per_byte": point.flop_per_byte,
            "workload": point.summary.cell.workload,
            "of_roof": point.of_roof,
        }
        for point in roof.points
    ]
    best = max(roof.points, key=lambda point: point.of_roof)
    cell, share = best.summary.cell, f"{best.of_roof:.0%}"
    summary = (
        f"Peaks: {number(roof.peak.gflop_per_s, 0)} GFLOP/s and "
        f"{number(roof.peak.copy_gb_per_s, 1)} GB/s. Below them: "
        f"{plural(len(roof.points), 'cell')}; nearest is {cell.known_as} ({cell.contest_label}) at "
        f"{share} of its roof."
    )
    return Figure("roofline", HEADING, f"Roofline: {name}", summary, rows)
