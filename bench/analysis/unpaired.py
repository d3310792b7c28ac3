"""The difference of two groups of processes that never ran side by side.

Nothing cancels here: whatever the machine did between the two runs is part of the difference, and
no interval over processes knows of it.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.analysis.statistics import CONFIDENCE, Comparison, Estimate, verdict

TRIM = 0.2  # of the processes at each end, of which a fifth may be disturbed
TRIMMED = 6  # processes from which on: of five, Yuen's interval would be a third wider


@dataclass(frozen=True)
class Difference:
    """Of two means, with its 95 % interval; None where a group has fewer than two processes."""

    value: float
    low: float | None
    high: float | None
    p_value: float | None  # how likely equal groups are to differ so


def difference(
    ours: Sequence[float], theirs: Sequence[float], trim: float = TRIM
) -> Difference | None:
    """Mean of `ours` less mean of `theirs`, each without the part `trim` at both of its ends.

    By Yuen's t (1974), which is Welch's where nothing is trimmed: of fewer than TRIMMED values. One
    process that was disturbed from beginning to end would make Welch's interval of six so wide that
    no slowdown is sure. `tests/benchmarks/disturbed.py` compares the two: both hold the truth in 95
    of 100, and without such a process Yuen's is a sixth wider. None where one of them is empty.
    """
    if not ours or not theirs:
        return None
    means = [trimmed_mean(group, trim) for group in (ours, theirs)]
    value = means[0] - means[1]
    if min(len(ours), len(theirs)) < 2:
        return Difference(value, None, None, None)
    parts = [_squared_error(group, trim) for group in (ours, theirs)]
    squares = [square for square, _ in parts]
    error = math.sqrt(sum(squares))
    if error == 0:  # such as memory that is the same in every process
        return Difference(value, value, value, 0.0 if value else 1.0)
    from scipy.special import stdtr, stdtrit

    freedom = error**4 / sum(square**2 / (kept - 1) for square, kept in parts)
    half = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * error
    p_value = 2 * float(stdtr(freedom, -abs(value) / error))
    return Difference(value, value - half, value + half, p_value)


def trimmed_mean(values: Sequence[float], trim: float = TRIM) -> float:
    """The mean without the part `trim` of the values at each end, of TRIMMED values or more."""
    cut = _cut(values, trim)
    return statistics.fmean(sorted(values)[cut : len(values) - cut])


def _cut(values: Sequence[float], trim: float) -> int:
    """How many values are left out at each end."""
    return int(trim * len(values)) if len(values) >= TRIMMED else 0


def _squared_error(values: Sequence[float], trim: float) -> tuple[float, int]:
    """Of a trimmed mean, from the variance of the values with its ends drawn in; and how many
    values are left.
    """
    cut, count = _cut(values, trim), len(values)
    kept = count - 2 * cut
    ordered = sorted(values)
    low, high = ordered[cut], ordered[count - cut - 1]
    drawn_in = [min(max(value, low), high) for value in values]
    return (count - 1) * statistics.variance(drawn_in) / (kept * (kept - 1)), kept


def accuracy_difference(
    ours: Sequence[float], theirs: Sequence[float], images: int | None
) -> Difference | None:
    """Of two networks' test accuracies, by how little so many test images can tell of them.

    Processes of one cell train the same network from the same seed, and agree more or less to the
    digit: their scatter says nothing of what another network or other images would give. So the
    interval is that of two proportions (Agresti and Caffo, 2000: one success and one failure are
    added to both), whatever the number of processes; there is none where `images` is unknown. None
    where one of them is empty.
    """
    if not ours or not theirs:
        return None
    value = statistics.fmean(ours) - statistics.fmean(theirs)
    if images is None:
        return Difference(value, None, None, None)
    shrunk = [(statistics.fmean(each) * images + 1) / (images + 2) for each in (ours, theirs)]
    error = math.sqrt(sum(part * (1 - part) for part in shrunk) / (images + 2))
    center = shrunk[0] - shrunk[1]
    normal = statistics.NormalDist()
    half = normal.inv_cdf((1 + CONFIDENCE) / 2) * error
    return Difference(value, center - half, center + half, 2 * normal.cdf(-abs(center) / error))


def speed_ratio(
    ours: Sequence[float], theirs: Sequence[float], floor: float = 0.0
) -> Comparison | None:
    """How many times as fast `ours` is as `theirs`, from their speeds.

    By the difference of the logarithms. None where either is empty; no interval where either has
    one process.
    """
    found = difference([math.log(speed) for speed in ours], [math.log(speed) for speed in theirs])
    if found is None:
        return None
    if found.low is None or found.high is None:
        return Comparison(Estimate(math.exp(found.value)), None, None)
    ratio = Estimate(math.exp(found.value), math.exp(found.low), math.exp(found.high))
    return Comparison(ratio, found.p_value, verdict(ratio, floor))
