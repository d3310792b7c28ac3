"""From samples to intervals and verdicts."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bench.analysis.statistics import (
    Estimate,
    compare,
    estimate,
    speed_ratio,
    throughput,
    verdict,
)
from bench.records import Record
from benchmarks.coverage import ratio
from builders import processes, record, timed


def near(*values: float) -> Estimate:
    """An Estimate that equals one of these values up to rounding."""
    approximate: list[Any] = [pytest.approx(value, rel=1e-12) for value in values]
    return Estimate(*approximate)


@pytest.mark.parametrize("count", [2, 3, 7])
def test_interval_is_students_of_the_logarithms(count: int) -> None:
    samples = np.random.default_rng(count).lognormal(3, 0.5, count)
    logs = np.log(samples)
    low, high = stats.t.interval(0.95, count - 1, loc=logs.mean(), scale=stats.sem(logs))
    found = estimate(samples.tolist())
    assert found is not None
    assert found.value == pytest.approx(stats.gmean(samples))
    assert (found.low, found.high) == pytest.approx((math.exp(low), math.exp(high)))


@pytest.mark.parametrize("count", [3, 7])
def test_interval_holds_the_true_value_in_95_of_100_runs(count: int) -> None:
    # Ratios of two equal cells: processes differ, blocks are disturbed, the rounds' drift is shared
    blocks = ratio()(np.random.default_rng(0), 4000, count)
    found = [estimate(draw) for draw in np.exp(np.median(blocks, axis=2)).tolist()]
    held = [e.low <= 1 <= e.high for e in found if e and e.low and e.high]
    assert len(held) == 4000
    assert 0.93 < np.mean(held) < 0.975


def test_a_single_process_has_no_interval() -> None:
    found = estimate([8.0])
    assert found == near(8.0)
    assert verdict(found) is None


def test_nothing_measured_is_no_estimate() -> None:
    assert estimate([]) is None


def test_throughput_is_that_of_the_median_block() -> None:
    row = record(batch_size=64, block_s=(1.0, 2.0, 30.0), block_steps=(10, 10, 10))
    assert throughput(row) == 64 * 10 / 2.0
    assert throughput(record()) is None


def test_blocks_of_different_length_are_compared_by_step() -> None:
    assert record(block_s=(1.0, 3.0), block_steps=(10, 20)).step_s == [0.1, 0.15]


def test_speed_ratio_is_how_many_times_as_fast_ours_is() -> None:
    ratio = speed_ratio(processes([1.0, 1.0]), processes([2.0, 2.0]))
    assert ratio == near(2.0, 2.0, 2.0)


def test_a_drift_that_hits_both_cancels() -> None:
    drift = np.array([1.0, 1.7, 0.4, 9.0, 3.3])
    ours = [timed((1.0 * drift * k).tolist(), cohort=str(k), replicate=k) for k in (1, 2, 3)]
    theirs = [timed((1.5 * drift * k).tolist(), cohort=str(k), replicate=k) for k in (1, 2, 3)]
    assert speed_ratio(ours, theirs) == near(1.5, 1.5, 1.5)


def test_one_disturbed_round_does_not_move_the_ratio() -> None:
    ratio = speed_ratio([timed([1.0, 1.0, 50.0])], [timed([2.0, 2.0, 2.0])])
    assert ratio == near(2.0)


@pytest.mark.parametrize(
    "theirs",
    [
        timed([8.0, 8.0], cohort="elsewhere"),
        timed([8.0, 8.0], cohort=None),
        timed([8.0, 8.0, 8.0]),
        timed([8.0, 8.0], run_id="second"),
    ],
    ids=["another cohort", "no cohort", "other blocks", "another run"],
)
def test_only_blocks_of_the_same_rounds_are_paired(theirs: Record) -> None:
    ours = timed([1.0, 1.0], cohort=theirs.cohort and "0")
    assert speed_ratio([ours], [theirs]) is None


def test_blocks_of_one_round_are_compared_by_the_time_of_a_step() -> None:
    """Inference on a GPU fills its blocks with as many steps as it takes."""
    ours = timed([1.0, 1.0], cohort="0", block_steps=(10, 10))
    theirs = timed([2.0, 2.0], cohort="0", block_steps=(5, 5))
    assert speed_ratio([ours], [theirs]) == near(4.0)


def test_processes_are_paired_by_cohort_and_not_by_order() -> None:
    ours, theirs = processes([1.0, 10.0, 100.0]), processes([2.0, 20.0, 200.0])
    assert speed_ratio(ours, theirs[::-1]) == near(2.0, 2.0, 2.0)


def test_nothing_timed_is_no_ratio() -> None:
    assert speed_ratio([timed([], cohort="0")], [timed([], cohort="0")]) is None


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (Estimate(1.2, 1.1, 1.3), "faster"),
        (Estimate(0.8, 0.7, 0.9), "slower"),
        (Estimate(1.2, 0.9, 1.5), "tie"),
        (Estimate(1.1, 1.0, 1.2), "tie"),
        (Estimate(1.2), None),
        (None, None),
    ],
)
def test_verdict_follows_from_where_the_interval_lies(
    ratio: Estimate | None, expected: str | None
) -> None:
    assert verdict(ratio) == expected


@pytest.mark.parametrize(
    ("ratio", "floor", "expected"),
    [
        (Estimate(1.02, 1.01, 1.03), 0.015, "faster"),
        (Estimate(1.02, 1.01, 1.03), 0.025, "tie"),
        (Estimate(1 / 1.02, 0.97, 0.99), 0.015, "slower"),
        (Estimate(1 / 1.02, 0.97, 0.99), 0.025, "tie"),
        (Estimate(1.02), 0.025, None),
    ],
)
def test_a_difference_below_the_noise_floor_is_a_tie(
    ratio: Estimate, floor: float, expected: str | None
) -> None:
    assert verdict(ratio, floor) == expected


def test_two_cells_are_compared_with_interval_p_value_and_verdict() -> None:
    ours = [1.0, 1.1, 1.05, 1.02]
    theirs = [1.2, 1.25, 1.15, 1.3]
    found = compare(processes(ours), processes(theirs))
    assert found is not None
    assert found.ratio == speed_ratio(processes(ours), processes(theirs))
    assert found.p_value == pytest.approx(stats.ttest_rel(np.log(ours), np.log(theirs)).pvalue)
    assert found.verdict == "faster"
    back = compare(processes(theirs), processes(ours), floor=0.5)
    assert back is not None
    assert (back.p_value, back.verdict) == (pytest.approx(found.p_value), "tie")


def test_two_cells_that_were_not_interleaved_are_not_compared() -> None:
    assert compare([timed([1.0], cohort="0")], [timed([1.0], cohort="1")]) is None
    alone = compare([timed([1.0])], [timed([2.0])])
    assert alone is not None
    assert (alone.ratio, alone.p_value, alone.verdict) == (Estimate(2.0), None, None)
