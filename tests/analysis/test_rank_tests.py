"""Tests by ranks agree with scipy's."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, theilslopes

from bench.analysis.rank_tests import mann_whitney, theil_sen

SIZES = [(4, 4), (4, 5), (8, 9), (9, 9), (20, 21)]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("digits", [1, 12])  # with many ties, and with none
def test_mann_whitney_is_scipys(sizes: tuple[int, int], digits: int) -> None:
    stream = np.random.default_rng(0)
    for shift in (0.0, 0.5, 1.0, 3.0) * 10:
        a, b = stream.normal(0, 1, sizes[0]), stream.normal(shift, 1, sizes[1])
        a, b = a.round(digits), b.round(digits)
        expected = float(mannwhitneyu(a, b).pvalue)
        assert mann_whitney(a.tolist(), b.tolist()) == pytest.approx(expected, abs=1e-12)


def test_equal_values_tell_nothing_apart() -> None:
    assert mann_whitney([1.0] * 4, [1.0] * 5) == 1.0


@pytest.mark.parametrize("count", [8, 9, 30, 101])
@pytest.mark.parametrize("digits", [0, 12])
def test_theil_and_sens_slope_is_scipys(count: int, digits: int) -> None:
    stream = np.random.default_rng(0)
    for slope in (0.0, 0.1, 1.0) * 5:
        at = np.cumsum(stream.integers(1, 3, count))
        values = (slope * at + stream.normal(0, 1, count)).round(digits)
        expected = theilslopes(values, at)
        found = theil_sen(values.tolist(), at.tolist())
        assert found == pytest.approx((expected[0], expected[2], expected[3]), abs=1e-12)
