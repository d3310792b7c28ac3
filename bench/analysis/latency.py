"""Latency of single steps: how many a cell times, in which turns, and their percentiles."""

import statistics
from typing import NamedTuple

from bench.records import Record

BUDGET_S = 0.01  # spent on single steps for each step of the cell: a few per cent of a run
SAMPLES = (20, 200)  # at most, for few steps and for many
ROUND_S = 0.5  # spent by a typical cell until it is the others' turn


def latency_turns(steps: int, step_s: float) -> list[int]:
    """Single steps to time in each round, in a cell of `steps` steps of about `step_s` seconds.

    A quarter of the steps and 20 at least, but no more than there is time for: slow cells have
    fewer samples. The number of rounds depends on `steps` alone.
    """
    budget_s = BUDGET_S * steps
    rounds = max(1, round(budget_s / ROUND_S))
    fewest, most = SAMPLES
    samples = min(most, max(fewest, steps // 4))
    samples = min(samples, max(1, round(budget_s / step_s) - rounds))  # each round has one untimed
    base, more = divmod(samples, rounds)
    return [base + 1] * more + [base] * (rounds - more)


class Latency(NamedTuple):
    """Percentiles of single steps, in milliseconds; None where samples are too few to tell."""

    median: float | None = None
    p95: float | None = None
    p99: float | None = None


def percentiles(record: Record) -> Latency:
    """The median, and the percentiles above which at least one sample lies."""
    from numpy import percentile

    samples = record.latency_ms
    if not samples:
        return Latency()
    return Latency(
        statistics.median(samples),
        float(percentile(samples, 95)) if len(samples) >= 20 else None,
        float(percentile(samples, 99)) if len(samples) >= 100 else None,
    )
