"""Latency of single steps: how many a cell times, in which rounds, and their percentiles."""

from collections.abc import Sequence

BUDGET_S = 0.01  # spent on single steps for each step of the cell: a few per cent of a run
SAMPLES = (20, 200)  # at most, for few steps and for many
ROUND_S = 0.5  # spent by a typical cell in each round


def latency_rounds(steps: int, step_s: float) -> list[int]:
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


# percentile, and the samples below which it is unknown
QUANTILES = {
    **{"p5": (5, 20), "p25": (25, 1), "median": (50, 1), "p75": (75, 1)},
    **{"p95": (95, 20), "p99": (99, 100)},
}


def quantiles(samples: Sequence[float]) -> dict[str, float | None]:
    """Each of QUANTILES; None where samples are too few to tell."""
    from numpy import percentile

    return {
        name: float(percentile(samples, at)) if len(samples) >= fewest else None
        for name, (at, fewest) in QUANTILES.items()
    }
