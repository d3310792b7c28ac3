"""What the plots of a contest show: each figure's rows of data, and the same said in words."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from bench.analysis.contests import Contest
from bench.analysis.latency import QUANTILES, quantiles
from bench.records import Record
from bench.reports.text import interval, number

Row = dict[str, str | int | float | None]  # field of a plot's data -> its value
Point = TypeVar("Point")

CURVE_POINTS = 200  # of one curve, at most
PAGE_POINTS = 12_000  # of all curves of a page together; with more curves each has fewer


@dataclass(frozen=True)
class Figure:
    """One plot: the kind names its form in `forms.py`."""

    kind: str
    heading: str  # that it stands under on the page
    title: str
    summary: str  # what a reader sees who cannot see the plot
    rows: Sequence[Row]


def of_contest(contest: Contest, most: int = CURVE_POINTS) -> list[Figure]:
    """The plots of one contest, those without data left out; `most`: points per curve."""
    figures = [
        *([] if contest.to_target else [_throughput(contest)]),  # whose verdicts are of the times
        _losses(contest, most),
        _latency(contest),
        _memory(contest),
        _blocks(contest, most),
    ]
    return [figure for figure in figures if figure.rows]


def _heading(contest: Contest) -> str:
    return f"{contest.label} on {contest.place}"


def _cohort(record: Record) -> str:
    """A name for those that ran side by side; of a record without a cohort, its own."""
    return record.cohort or f"alone {record.cell.label} {record.replicate}"


def points_per_curve(contests: Iterable[Contest]) -> int:
    """How many points a curve may have, so that the page stays small."""
    curves = sum(1 + len(s.records) for contest in contests for s in contest.ranked)
    return max(2, min(CURVE_POINTS, PAGE_POINTS // max(curves, 1)))


def thinned(points: Sequence[Point], most: int) -> list[Point]:
    """At most `most` of the points, evenly spread, the first and the last among them."""
    if len(points) <= most:
        return list(points)
    return [points[round(k * (len(points) - 1) / (most - 1))] for k in range(most)]


def _note(whole: Iterable[int], most: int) -> str:
    longest = max(whole, default=0)
    if longest <= most:
        return ""
    return f" Thinned: of up to {longest:,} points per curve, {most:,} evenly spread are drawn."


def _throughput(contest: Contest) -> Figure:
    rows: list[Row] = []
    for s in contest.ranked:
        if e := s.throughput_images_per_s:
            rows.append(
                {
                    "label": s.cell.known_as,
                    "value": e.value,
                    "low": e.low,
                    "high": e.high,
                    "verdict": s.verdict or "no verdict",
                    "against": interval(s.speed_against_fastest, 2),
                }
            )
    said = [f"{s.cell.known_as} {interval(s.throughput_images_per_s)}" for s in contest.ranked]
    summary = f"Images per second with 95 % intervals: {'; '.join(said)}."
    return Figure("throughput", _heading(contest), "Throughput", summary, rows)


def _losses(contest: Contest, most: int) -> Figure:
    rows: list[Row] = []
    said, lengths = [], []
    for s in contest.ranked:
        curves = [r.losses for r in s.records if r.losses]
        # zip ends with the shortest: where there is a target, each stops when it has reached it
        curve = [statistics.median(step) for step in zip(*curves, strict=False)]
        if curve:
            lengths.append(len(curve))
            said.append(f"{s.cell.known_as} from {curve[0]:.3f} to {curve[-1]:.3f}")
            points = thinned(list(enumerate(curve, start=1)), most)
            rows += [{"label": s.cell.known_as, "step": x, "loss": y} for x, y in points]
    summary = f"Training loss of the first step, and of the last that all took: {'; '.join(said)}."
    note = " Each curve is the median over the processes." + _note(lengths, most)
    return Figure("losses", _heading(contest), "Training loss", summary + note, rows)


def _latency(contest: Contest) -> Figure:
    rows: list[Row] = []
    said = []
    for s in contest.ranked:
        if processes := [r.latency_ms for r in s.records if r.latency_ms]:
            of_each = [quantiles(samples) for samples in processes]
            medians: dict[str, float | None] = {}
            for name in QUANTILES:
                known = [value for each in of_each if (value := each[name]) is not None]
                medians[name] = statistics.median(known) if known else None
            rows.append(
                {"label": s.cell.known_as, "steps": sum(map(len, processes)), **medians},
            )
            said.append(
                f"{s.cell.known_as} {number(medians['median'], 2)}, p95 {number(medians['p95'], 2)}"
            )
    summary = (
        f"Milliseconds of single steps, median: {'; '.join(said)}. The box holds the middle half "
        "of a process' steps, its line is their median; the whiskers are the 5th and 95th "
        "percentile, the dot is the 99th, where a process has 20 and 100 steps to tell them by. "
        "Of each, the median over the processes."
    )
    return Figure("latency", _heading(contest), "Latency of single steps", summary, rows)


def _memory(contest: Contest) -> Figure:
    rows: list[Row] = []
    said = []
    for s in contest.ranked:
        setup, peak = s.median("host_baseline_mib"), s.median("host_peak_mib")
        device = s.median("device_peak_mib")
        parts = [
            ("host, set-up", setup),
            ("host, steps", max(0.0, peak - setup) if peak and setup else None),
            ("device, peak", device),
        ]
        rows += [
            {"label": s.cell.known_as, "part": part, "order": order, "mib": mib}
            for order, (part, mib) in enumerate(parts)
            if mib is not None
        ]
        gpu = f" and {number(device, 0)} on the device" if device is not None else ""
        said.append(f"{s.cell.known_as} {number(peak, 0)}{gpu}")
    summary = f"Peak memory in MiB, median over the processes: {'; '.join(said)}."
    return Figure("memory", _heading(contest), "Memory", summary, rows)


def _blocks(contest: Contest, most: int) -> Figure:
    """Block times in the order of the rounds, cohort after cohort."""
    merged = len({r.run_id for r in contest.records}) > 1
    begun: dict[str, str] = {}
    rounds: dict[str, int] = {}
    for r in contest.records:
        cohort = _cohort(r)
        begun[cohort] = min(begun.get(cohort, r.utc), r.utc)
        rounds[cohort] = max(rounds.get(cohort, 0), len(r.block_s))
    starts, start = {}, 0
    for cohort in sorted(rounds, key=lambda name: (begun[name], name)):
        starts[cohort], start = start, start + rounds[cohort]
    rows: list[Row] = []
    said, lengths = [], []
    for s in contest.ranked:
        times = [seconds * 1e3 for r in s.records for seconds in r.step_s]
        if times:
            said.append(f"{s.cell.known_as} {number(min(times), 1)} to {number(max(times), 1)}")
        for r in s.records:
            first = starts[_cohort(r)] + 1
            lengths.append(len(r.block_s))
            for index, seconds in thinned(list(enumerate(r.step_s)), most):
                process = f"{r.replicate} of {r.run_id}" if merged else r.replicate
                row: Row = {"round": first + index, "ms": seconds * 1e3, "process": process}
                rows.append({"label": s.cell.known_as, **row})
    summary = (
        f"Milliseconds per step, fastest and slowest block: {'; '.join(said)}. Blocks of the same "
        "round ran one after the other; what moves all curves alike is the machine."
    )
    summary += _note(lengths, most)
    return Figure("blocks", _heading(contest), "Blocks over the run", summary, rows)
