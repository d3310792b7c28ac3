"""The difference of two groups of processes that never ran side by side.

Nothing cancels here: whatever the machine did between the two runs is part of the difference, and
no interval over processes knows of it.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.analysis.statistics import CONFIDENCE, Comparison, Estimate, verdict


@dataclass(frozen=True)
class Difference:
    """Of two means, with its 95 % interval; None where a group has fewer than two processes."""

    value: float
    low: float | None
    high: float | None
    p_value: float | None  # how likely equal groups are to differ so


def difference(ours: Sequence[float], theirs: Sequence[float]) -> Difference | None:
    """Mean of `ours` less mean of `theirs`, by Welch's t, which lets both scatter differently.

    None where one of them is empty.
    """
    if not ours or not theirs:
        return None
    value = statistics.fmean(ours) - statistics.fmean(theirs)
    if min(len(ours), len(theirs)) < 2:
        return Difference(value, None, None, None)
    squares = [statistics.variance(group) / len(group) for group in (ours, theirs)]
    error = math.sqrt(sum(squares))
    if error == 0:  # such as memory that is the same in every process
        return Difference(value, value, value, 0.0 if value else 1.0)
    from scipy.special import stdtr, stdtrit

    parts = zip(squares, (ours, theirs), strict=True)
    freedom = error**4 / sum(square**2 / (len(group) - 1) for square, group in parts)
    half = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * error
    p_value = 2 * float(stdtr(freedom, -abs(value) / error))
    return Difference(value, value - half, value + half, p_value)


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
