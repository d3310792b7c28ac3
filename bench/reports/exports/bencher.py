"""Bencher Metric Format: `bencher run --adapter json --file FILE`."""

import json

from bench.analysis.contests import Summary
from bench.analysis.statistics import Estimate
from bench.reports.report import Report

Metric = dict[str, float]


def serialize(report: Report) -> str:
    """Benchmark -> measure -> value and interval. A cell without a process that is ok is left out.

    Bencher's own measures are in its units: throughput per second, latency in nanoseconds.
    """
    found = {
        f"{s.cell.label}, {report.name_of(contest)}": _measures(s)
        for contest in report.contests
        for s in contest.ranked
    }
    return json.dumps(found, indent=2, allow_nan=False) + "\n"


def _measures(s: Summary) -> dict[str, Metric]:
    step_ms, memory_mib = s.median("step_ms_median"), s.median("host_peak_mib")
    measures = {
        "throughput": _metric(s.throughput_images_per_s),
        "latency": None if step_ms is None else {"value": 1e6 * step_ms},
        "seconds-to-target": _metric(s.seconds_to_target) if s.to_target else None,
        "host-peak-mib": None if memory_mib is None else {"value": memory_mib},
        "test-accuracy": None if s.test_accuracy is None else {"value": s.test_accuracy},
    }
    return {name: metric for name, metric in measures.items() if metric}


def _metric(estimate: Estimate | None) -> Metric | None:
    if estimate is None:
        return None
    ends = {"lower_value": estimate.low, "upper_value": estimate.high}
    return {"value": estimate.value} | {name: v for name, v in ends.items() if v is not None}
