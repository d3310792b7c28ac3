"""Differences of processes that never ran side by side."""

import numpy as np
import pytest
from scipy import stats

from bench.analysis.unpaired import TRIM, difference, trimmed_mean

DRAW = np.random.default_rng(0)


@pytest.mark.parametrize("count", [6, 7, 10, 23])
def test_it_is_yuens_from_six_values_on(count: int) -> None:
    ours, theirs = DRAW.normal(1, 0.1, count), DRAW.normal(0.9, 0.2, count + 2)
    found = difference(list(ours), list(theirs))
    assert found is not None
    expected = stats.ttest_ind(ours, theirs, equal_var=False, trim=TRIM)
    assert found.p_value == pytest.approx(expected.pvalue)
    means = stats.trim_mean(ours, TRIM) - stats.trim_mean(theirs, TRIM)
    assert found.value == pytest.approx(means)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_it_is_welchs_below(count: int) -> None:
    ours, theirs = DRAW.normal(1, 0.1, count), DRAW.normal(0.9, 0.2, count)
    found = difference(list(ours), list(theirs))
    assert found is not None
    expected = stats.ttest_ind(ours, theirs, equal_var=False)
    low, high = expected.confidence_interval()
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert trimmed_mean(list(ours)) == pytest.approx(ours.mean())


def test_one_disturbed_process_of_six_hides_no_slowdown() -> None:
    usual = [0.0, 0.01, -0.01, 0.005, -0.005, 0.002]
    slower = [value - 0.08 for value in usual[:-1]] + [-1.4]
    found = difference(slower, usual)
    welch = difference(slower, usual, trim=0.0)
    assert found is not None
    assert welch is not None
    assert found.high is not None
    assert welch.high is not None
    assert found.high < -0.05
    assert welch.high > 0.1
