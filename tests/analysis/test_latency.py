"""Latency of single steps: how many are timed, and what percentiles they allow."""

import numpy as np
import pytest

from bench.analysis.latency import latency_rounds, quantiles


@pytest.mark.parametrize(
    ("steps", "step_s", "samples"),
    [(4, 0.001, 20), (100, 0.001, 25), (400, 0.01, 100), (5000, 0.001, 200), (100, 0.1, 8)],
)
def test_a_quarter_of_the_steps_is_timed_alone_where_there_is_time(
    steps: int, step_s: float, samples: int
) -> None:
    rounds = latency_rounds(steps, step_s)
    assert sum(rounds) == samples
    assert max(rounds) - min(rounds) <= 1


@pytest.mark.parametrize("steps", [1, 100, 400])
def test_the_slowest_cell_times_one_step_in_as_many_rounds_as_the_fastest(steps: int) -> None:
    assert sum(latency_rounds(steps, 1e3)) == 1
    assert len(latency_rounds(steps, 1e3)) == len(latency_rounds(steps, 1e-6))


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, [None] * 6),
        (1, [None, 1.0, 1.0, 1.0, None, None]),
        (19, [None, 5.5, 10.0, 14.5, None, None]),
        (21, [2.0, 6.0, 11.0, 16.0, 20.0, None]),
        (101, [6.0, 26.0, 51.0, 76.0, 96.0, 100.0]),
    ],
)
def test_no_percentile_is_told_from_too_few_single_steps(
    count: int, expected: list[float | None]
) -> None:
    shuffled = np.random.default_rng(0).permutation(np.arange(1.0, count + 1))
    assert list(quantiles(shuffled.tolist()).values()) == expected
