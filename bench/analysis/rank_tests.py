"""Two tests by ranks, as scipy.stats has them, whose import takes a second of processor time."""

import math
from collections import Counter
from collections.abc import Sequence
from functools import cache
from statistics import NormalDist

EXACT = 8  # values on the smaller side up to which all orders are counted
NORMAL = NormalDist()


def mann_whitney(a: Sequence[float], b: Sequence[float]) -> float:
    """Mann and Whitney's two-sided p-value that two samples are of one distribution.

    Exact for small samples without ties, else by the normal approximation.
    """
    ties = Counter([*a, *b]).values()
    smaller = sum((x < y) + (x == y) / 2 for x in a for y in b)
    u = max(smaller, len(a) * len(b) - smaller)
    if min(len(a), len(b)) <= EXACT and max(ties) == 1:
        orders = _orders(len(a), len(b))
        return min(1.0, 2 * sum(orders[int(u) :]) / sum(orders))
    n = len(a) + len(b)
    tied = sum(t**3 - t for t in ties) / (n * (n - 1))
    deviation = math.sqrt(len(a) * len(b) / 12 * (n + 1 - tied))
    if not deviation:  # all values are equal
        return 1.0
    return min(1.0, 2 * NORMAL.cdf(-(u - len(a) * len(b) / 2 - 0.5) / deviation))


@cache
def _orders(n: int, m: int) -> list[int]:
    """In how many orders of n values among m others u pairs are in order, for each u from 0."""
    if not n or not m:
        return [1]
    counts = [0] * (n * m + 1)
    for u, count in enumerate(_orders(n - 1, m)):  # the largest of all is of the n
        counts[u + m] += count
    for u, count in enumerate(_orders(n, m - 1)):
        counts[u] += count
    return counts


def theil_sen(values: Sequence[float], at: Sequence[float]) -> tuple[float, float, float]:
    """The median slope of all pairs of points, and its 95 % interval (Sen, 1968); `at` rises."""
    import numpy as np

    n = len(values)
    earlier, later = np.triu_indices(n, 1)
    y, x = np.asarray(values, float), np.asarray(at, float)
    slopes = np.sort((y[later] - y[earlier]) / (x[later] - x[earlier]))  # (n (n - 1) / 2,)
    ties = sum(t * (t - 1) * (2 * t + 5) for t in Counter(values).values())
    spread = NORMAL.inv_cdf(0.975) * math.sqrt((n * (n - 1) * (2 * n + 5) - ties) / 18)
    low = max(round((len(slopes) - spread) / 2) - 1, 0)
    high = min(round((len(slopes) + spread) / 2), len(slopes) - 1)
    return float(np.median(slopes)), float(slopes[low]), float(slopes[high])
