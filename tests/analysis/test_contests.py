"""Cells that are ranked against each other: order, verdicts, letters and names."""

from collections.abc import Sequence

import numpy as np
import pytest

from bench.analysis.ranking import contests_of
from bench.analysis.statistics import Estimate, estimate
from bench.records import Record
from builders import JAX, TENSORFLOW, processes, record, run, timed


def equal_cells(effects: Sequence[float], logs: np.ndarray) -> list[Record]:
    """A cell for each of `effects`, slower by that factor's logarithm; `logs` (cells, processes)
    is noise."""
    return [
        row
        for number, (effect, noise) in enumerate(zip(effects, logs, strict=True))
        for row in processes(np.exp(effect + noise).tolist(), implementation=f"{number:02}.py")
    ]


def test_rows_that_cannot_be_told_apart_share_a_letter() -> None:
    noise = np.random.default_rng(0).normal(0, 0.01, (5, 7))
    rows = [*equal_cells([0, 0, 0.3, 0.3, 0.6], noise), record(status="crashed", **TENSORFLOW)]
    (found,) = contests_of(rows)
    assert [s.group for s in found.summaries] == ["a", "a", "b", "b", "c", None]
    assert [s.verdict for s in found.summaries] == [
        "fastest",
        "tie",
        "slower",
        "slower",
        "slower",
        None,
    ]


def test_without_an_interval_there_is_no_letter() -> None:
    (found,) = contests_of([timed([1.0]), timed([2.0], **JAX)])
    assert [s.group for s in found.summaries] == [None, None]
    (alone,) = contests_of(processes([1.0, 1.1]))
    assert alone.fastest.group is None


def test_many_equal_cells_are_seldom_told_apart() -> None:
    random = np.random.default_rng(0)
    different = 0
    for _ in range(100):
        (found,) = contests_of(equal_cells([0.0] * 8, random.normal(0, 0.02, (8, 3))))
        different += {s.group for s in found.summaries} != {"a"}
        for s in found.summaries[1:]:
            shared = set(s.group or "") & set(found.fastest.group or "")
            assert s.verdict == ("tie" if shared else "slower")
    assert different <= 11  # 5 expected; without the adjustment it is 80


FLOORS = ((0.01, ["fastest", "slower", "slower"]), (0.03, ["fastest", "tie", "slower"]))


def test_the_floor_of_the_run_makes_ties() -> None:
    rows = equal_cells([0, 0.02, 0.3], np.random.default_rng(0).normal(0, 0.001, (3, 5)))
    for value, expected in FLOORS:
        (found,) = contests_of(rows, [run(noise_floor={"cpu": {"value": value}})])
        assert [s.verdict for s in found.summaries] == expected
        assert (found.fastest.group == found.summaries[1].group) == (expected[1] == "tie")
    (found,) = contests_of(rows, [run(noise_floor={"cuda": {"value": 0.03}})])
    assert found.summaries[1].verdict == "slower"
    (found,) = contests_of(rows, [run(run_id="other", noise_floor={"cpu": {"value": 0.03}})])
    assert found.summaries[1].verdict == "slower"


def test_a_large_ranking_compares_every_pair() -> None:
    noise = np.random.default_rng(0).normal(0, 0.01, (40, 20))
    (found,) = contests_of(equal_cells((np.arange(40) // 2 * 0.1).tolist(), noise))
    assert [s.group for s in found.summaries[:6]] == ["a", "a", "b", "b", "c", "c"]


def test_cells_are_ranked_fastest_first_and_without_a_speed_last() -> None:
    crashed = record(status="crashed", **TENSORFLOW)
    (contest,) = contests_of([crashed, *processes([2.0, 2.1]), *processes([1.0, 1.1], **JAX)])
    assert [s.cell.backend for s in contest.summaries] == ["jax", "torch", "tensorflow"]
    assert [s.verdict for s in contest.summaries] == ["fastest", "slower", None]
    assert contest.fastest.speed_against_fastest == Estimate(1.0)
    assert contest.summaries[2].speed_against_fastest is None


def test_cells_that_cannot_be_told_apart_tie() -> None:
    (contest,) = contests_of([*processes([1.0, 1.1, 1.0]), *processes([1.05, 1.0, 1.05], **JAX)])
    assert contest.summaries[1].verdict == "tie"


def test_no_cell_is_faster_than_the_one_that_is_called_fastest() -> None:
    # The second lacks the process that ran while the machine was fast; side by side it wins.
    ours = processes([1.0, 1.01, 0.3])
    theirs = processes([0.8, 0.81], **JAX)
    (contest,) = contests_of([*ours, *theirs])
    assert [s.verdict for s in contest.summaries] == ["fastest", "slower"]
    assert contest.fastest.cell.backend == "jax"


def test_rows_are_in_the_order_of_what_the_same_rounds_say() -> None:
    # Medians say 2.0 and 2.1 s, but in two rounds of three the second was faster.
    drifting = [timed([1.0, 2.0, 3.0]), timed([0.9, 2.1, 2.9], **JAX)]
    (contest,) = contests_of([*drifting, timed([2.0, 4.0, 6.0], **TENSORFLOW)])
    assert [s.cell.backend for s in contest.summaries] == ["jax", "torch", "tensorflow"]
    ratios = [s.speed_against_fastest for s in contest.summaries]
    assert [ratio and round(ratio.value, 3) for ratio in ratios] == [1.0, 0.967, 0.483]


def test_failures_are_kept_beside_what_was_measured() -> None:
    crashed = record(status="crashed", reason="exit code -9", replicate=2)
    (contest,) = contests_of([*processes([1.0, 1.0]), crashed])
    assert len(contest.fastest.records) == 2
    assert contest.fastest.failures == (crashed,)


def test_a_failed_process_does_not_count_as_speed() -> None:
    late = timed([0.001], status="uncertified", cohort="9")
    (contest,) = contests_of([*processes([1.0, 1.0]), late])
    assert contest.fastest.throughput_images_per_s == estimate([640.0, 640.0])


@pytest.mark.parametrize(
    "change",
    [{"machine": "server"}, {"processor": "GPU"}, {"batch_size": 8}, {"seed": 1}],
    ids=lambda change: next(iter(change)),
)
def test_what_is_not_the_same_work_on_the_same_chip_is_another_contest(
    change: dict[str, object],
) -> None:
    assert len(contests_of([record(), record(**JAX)])) == 1
    assert len(contests_of([record(), record(**JAX, **change)])) == 2


def test_medians_leave_out_what_is_unknown() -> None:
    values = [1.0, None, 2.0, 9.0]
    rows = [record(replicate=number, first_step_s=value) for number, value in enumerate(values)]
    summary = contests_of(rows)[0].fastest
    assert summary.median("first_step_s") == 2.0
    assert summary.median("test_accuracy") is None


def test_a_median_of_zero_is_a_zero() -> None:
    summary = contests_of([record(test_accuracy=0.0)])[0].fastest
    assert summary.median("test_accuracy") == 0.0


def test_a_contest_says_what_its_cells_share_and_where_they_were_measured() -> None:
    crashed = record(status="crashed", reason="why", **TENSORFLOW)
    (contest,) = contests_of([crashed, *processes([1.0, 1.1]), *processes([2.0, 2.1], **JAX)])
    assert contest.label == "train resnet14 cpu fp32 batch 64 adam digits 100 steps"
    assert contest.place == "desk, Example CPU"
    assert not contest.to_target
    assert [s.cell.backend for s in contest.ranked] == ["torch", "jax"]
    assert contest.fastest is contest.ranked[0]
    assert (len(contest.records), contest.failures) == (4, (crashed,))
    aim = {"workload": "train-to", "target_accuracy": 0.9}
    assert contests_of(processes([1.0], **aim))[0].to_target
