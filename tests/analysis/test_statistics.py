"""From samples to intervals and verdicts."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bench.analysis.contests import summarise
from bench.analysis.statistics import (
    Estimate,
    compare,
    estimate,
    speed_ratio,
    step_s,
    throughput,
    verdict,
)
from bench.records import Record
from benchmarks.coverage import ratio
from builders import JAX, TENSORFLOW, processes, record, run, timed


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
    assert step_s(record(block_s=(1.0, 3.0), block_steps=(10, 20))) == [0.1, 0.15]


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
        timed([8.0, 8.0], block_steps=(10, 5)),
        timed([8.0, 8.0], run_id="second"),
    ],
    ids=["another cohort", "no cohort", "other blocks", "other steps", "another run"],
)
def test_only_blocks_of_the_same_rounds_are_paired(theirs: Record) -> None:
    ours = timed([1.0, 1.0], cohort=theirs.cohort and "0")
    assert speed_ratio([ours], [theirs]) is None


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


def contest(effects: Sequence[float], logs: np.ndarray) -> list[Record]:
    """A cell for each of `effects`, slower by that factor's logarithm; `logs` (cells, processes)
    is noise."""
    return [
        row
        for number, (effect, noise) in enumerate(zip(effects, logs, strict=True))
        for row in processes(np.exp(effect + noise).tolist(), implementation=f"{number:02}.py")
    ]


def test_rows_that_cannot_be_told_apart_share_a_letter() -> None:
    noise = np.random.default_rng(0).normal(0, 0.01, (5, 7))
    rows = [*contest([0, 0, 0.3, 0.3, 0.6], noise), record(status="crashed", **TENSORFLOW)]
    (found,) = summarise(rows)
    assert [s.group for s in found] == ["a", "a", "b", "b", "c", None]
    assert [s.verdict for s in found] == ["fastest", "tie", "slower", "slower", "slower", None]


def test_without_an_interval_there_is_no_letter() -> None:
    (found,) = summarise([timed([1.0]), timed([2.0], **JAX)])
    assert [s.group for s in found] == [None, None]
    ((alone,),) = summarise(processes([1.0, 1.1]))
    assert alone.group is None


def test_many_equal_cells_are_seldom_told_apart() -> None:
    random = np.random.default_rng(0)
    different = 0
    for _ in range(100):
        (found,) = summarise(contest([0.0] * 8, random.normal(0, 0.02, (8, 3))))
        different += {s.group for s in found} != {"a"}
        for s in found[1:]:
            shared = set(s.group or "") & set(found[0].group or "")
            assert s.verdict == ("tie" if shared else "slower")
    assert different <= 11  # 5 expected; without the adjustment it is 80


FLOORS = ((0.01, ["fastest", "slower", "slower"]), (0.03, ["fastest", "tie", "slower"]))


def test_the_floor_of_the_run_makes_ties() -> None:
    rows = contest([0, 0.02, 0.3], np.random.default_rng(0).normal(0, 0.001, (3, 5)))
    for value, expected in FLOORS:
        (found,) = summarise(rows, [run(noise_floor={"cpu": {"value": value}})])
        assert [s.verdict for s in found] == expected
        assert (found[0].group == found[1].group) == (expected[1] == "tie")
    (found,) = summarise(rows, [run(noise_floor={"cuda": {"value": 0.03}})])
    assert found[1].verdict == "slower"
    (found,) = summarise(rows, [run(run_id="other", noise_floor={"cpu": {"value": 0.03}})])
    assert found[1].verdict == "slower"


def test_a_large_ranking_compares_every_pair() -> None:
    noise = np.random.default_rng(0).normal(0, 0.01, (40, 20))
    (found,) = summarise(contest((np.arange(40) // 2 * 0.1).tolist(), noise))
    assert [s.group for s in found[:6]] == ["a", "a", "b", "b", "c", "c"]


def test_cells_are_ranked_fastest_first_and_without_a_speed_last() -> None:
    crashed = record(status="crashed", **TENSORFLOW)
    (contest,) = summarise([crashed, *processes([2.0, 2.1]), *processes([1.0, 1.1], **JAX)])
    assert [s.cell.backend for s in contest] == ["jax", "torch", "tensorflow"]
    assert [s.verdict for s in contest] == ["fastest", "slower", None]
    assert contest[0].speed_against_fastest == Estimate(1.0)
    assert contest[2].speed_against_fastest is None


def test_cells_that_cannot_be_told_apart_tie() -> None:
    (contest,) = summarise([*processes([1.0, 1.1, 1.0]), *processes([1.05, 1.0, 1.05], **JAX)])
    assert contest[1].verdict == "tie"


def test_no_cell_is_faster_than_the_one_that_is_called_fastest() -> None:
    # The second lacks the process that ran while the machine was fast; side by side it wins.
    ours = processes([1.0, 1.01, 0.3])
    theirs = processes([0.8, 0.81], **JAX)
    (contest,) = summarise([*ours, *theirs])
    assert [s.verdict for s in contest] == ["fastest", "slower"]
    assert contest[0].cell.backend == "jax"


def test_rows_are_in_the_order_of_what_the_same_rounds_say() -> None:
    # Medians say 2.0 and 2.1 s, but in two rounds of three the second was faster.
    drifting = [timed([1.0, 2.0, 3.0]), timed([0.9, 2.1, 2.9], **JAX)]
    (contest,) = summarise([*drifting, timed([2.0, 4.0, 6.0], **TENSORFLOW)])
    assert [s.cell.backend for s in contest] == ["jax", "torch", "tensorflow"]
    ratios = [s.speed_against_fastest for s in contest]
    assert [ratio and round(ratio.value, 3) for ratio in ratios] == [1.0, 0.967, 0.483]


def test_failures_are_kept_beside_what_was_measured() -> None:
    crashed = record(status="crashed", reason="exit code -9", replicate=2)
    (contest,) = summarise([*processes([1.0, 1.0]), crashed])
    assert len(contest[0].records) == 2
    assert contest[0].failures == (crashed,)


def test_a_failed_process_does_not_count_as_speed() -> None:
    late = timed([0.001], status="uncertified", cohort="9")
    (contest,) = summarise([*processes([1.0, 1.0]), late])
    assert contest[0].throughput_images_per_s == estimate([640.0, 640.0])


@pytest.mark.parametrize(
    "change",
    [{"machine": "server"}, {"processor": "GPU"}, {"batch_size": 8}, {"seed": 1}],
    ids=lambda change: next(iter(change)),
)
def test_what_is_not_the_same_work_on_the_same_chip_is_another_contest(
    change: dict[str, object],
) -> None:
    assert len(summarise([record(), record(**JAX)])) == 1
    assert len(summarise([record(), record(**JAX, **change)])) == 2


def test_medians_leave_out_what_is_unknown() -> None:
    values = [1.0, None, 2.0, 9.0]
    rows = [record(replicate=number, first_step_s=value) for number, value in enumerate(values)]
    ((summary,),) = summarise(rows)
    assert summary.median("first_step_s") == 2.0
    assert summary.median("test_accuracy") is None


def test_a_median_of_zero_is_a_zero() -> None:
    ((summary,),) = summarise([record(test_accuracy=0.0)])
    assert summary.median("test_accuracy") == 0.0
