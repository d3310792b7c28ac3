"""Letters of rows that cannot be told apart, and the adjustment for many comparisons."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from bench.analysis.groups import false_discovery_rates, judged_together, letters
from bench.analysis.statistics import Comparison, Estimate

Pairs = set[tuple[int, int]]


@pytest.mark.parametrize("count", [0, 1, 2, 30])
def test_rates_are_benjaminis_and_hochbergs(count: int) -> None:
    p_values = np.random.default_rng(count).uniform(size=count) ** 3
    expected = stats.false_discovery_control(p_values) if count else []
    assert false_discovery_rates(p_values.tolist()) == pytest.approx(list(expected))


def test_a_single_comparison_is_not_adjusted() -> None:
    assert false_discovery_rates([0.04]) == [0.04]


def test_a_difference_that_so_many_may_show_by_chance_is_a_tie() -> None:
    def comparison(p_value: float | None, verdict: str | None) -> Comparison:
        return Comparison(Estimate(0.9), p_value, verdict)

    found = {
        "sure": comparison(0.001, "slower"),
        "one of many": comparison(0.04, "slower"),
        "equal": comparison(0.6, "tie"),
        "no interval": comparison(None, None),
    }
    together = judged_together(found)
    assert together == found | {"one of many": comparison(0.04, "tie")}
    assert judged_together({0: found["one of many"]}) == {0: found["one of many"]}


@pytest.mark.parametrize(
    ("count", "apart", "expected"),
    [
        (0, set(), []),
        (1, set(), ["a"]),
        (3, set(), ["a", "a", "a"]),
        (3, {(0, 1), (0, 2), (1, 2)}, ["a", "b", "c"]),
        (3, {(0, 2)}, ["a", "ab", "b"]),
        (3, {(0, 1)}, ["a", "b", "ab"]),
        (4, {(0, 2), (0, 3), (1, 3)}, ["a", "ab", "bc", "c"]),
        (4, {(0, 1), (0, 2), (0, 3)}, ["a", "b", "b", "b"]),
    ],
)
def test_letters_of_small_rankings(count: int, apart: Pairs, expected: list[str]) -> None:
    assert list(letters(range(count), apart).values()) == expected


@pytest.mark.parametrize("seed", range(5))
def test_rows_share_a_letter_if_and_only_if_they_are_not_apart(seed: int) -> None:
    random = np.random.default_rng(seed)
    rows = [3 * number for number in range(12)]
    apart = {pair for pair in combinations(rows, 2) if random.random() < seed / 4}
    found = letters(rows, apart)
    assert all(found.values())
    for pair in combinations(rows, 2):
        shared = set(found[pair[0]]) & set(found[pair[1]])
        assert bool(shared) == (pair not in apart)


def test_letters_do_not_run_out() -> None:
    found = letters(range(30), set(combinations(range(30), 2)))
    assert len(set(found.values())) == 30
    assert (found[25], found[26]) == ("z", "a1")
