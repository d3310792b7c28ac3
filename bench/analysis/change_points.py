"""Where the level of a series has changed: Student's t at every split, and again within its parts.

The best of all splits of a flat series looks better than one split would, so its p-value is
multiplied by their number (Bonferroni; Worsley, 1979, has the exact law). That holds from four
values on. The permutations of E-divisive, which Otava takes, cannot be rare yet by then: six values
fall into halves in 20 ways, so no split of them has a p-value below 0.05. A step of a series is
named once two values show it, since one may be a bad day.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from bench.analysis.groups import false_discovery_rates
from bench.analysis.statistics import CONFIDENCE, Estimate

LEAST = 2  # values on each side of a change
FEW = 3  # values of which each must lie nearer to the mean of its side than to the other's


@dataclass(frozen=True)
class Change:
    """A step between the level before and the level after, each as long as it lasted."""

    at: int  # place of the first value after
    before: float  # geometric means
    after: float
    ratio: Estimate  # after over before, with its 95 % interval


@dataclass(frozen=True)
class _Split:
    at: int
    p_value: float


def change_points(series: Sequence[Sequence[float]]) -> list[list[Change]]:
    """The changes of each series of positive values, in their order.

    All series are judged together (Benjamini and Hochberg): where none of them has changed, 95 of
    100 such sets have no change named.
    """
    logs = [[math.log(value) for value in values] for values in series]
    parts = {(i, 0, len(values)): _best(values) for i, values in enumerate(logs)}
    ends: list[set[int]] = [{0, len(values)} for values in logs]
    while splits := {part: split for part, split in parts.items() if split}:
        rates = false_discovery_rates([split.p_value for split in splits.values()])
        chosen = [
            (part, split.at)
            for (part, split), rate in zip(splits.items(), rates, strict=True)
            if rate < 1 - CONFIDENCE
        ]
        if not chosen:
            break
        for (i, begin, end), at in chosen:
            del parts[i, begin, end]
            ends[i].add(begin + at)
            for low, high in ((begin, begin + at), (begin + at, end)):
                parts[i, low, high] = _best(logs[i][low:high])
    return [
        [_change(values[a:b], values[b:c], b) for (a, b), (_, c) in pairwise(pairwise(sorted(of)))]
        for values, of in zip(logs, ends, strict=True)
    ]


def _best(logs: Sequence[float]) -> _Split | None:
    """The split whose sides differ most; None of too few values."""
    from scipy.special import stdtr

    places = range(LEAST, len(logs) - LEAST + 1)
    told = [place for place in places if _agree(logs[:place], logs[place:])]
    if not told:
        return None
    at = max(told, key=lambda place: abs(_student(logs[:place], logs[place:])[0]))
    value, _ = _student(logs[:at], logs[at:])
    p_value = 2 * float(stdtr(len(logs) - 2, -abs(value)))
    return _Split(at, min(1.0, p_value * len(places)))


def _agree(before: Sequence[float], after: Sequence[float]) -> bool:
    """Whether a side of few values is a level, and not one bad run beside usual ones."""
    first, second = (math.fsum(each) / len(each) for each in (before, after))
    return all(
        abs(value - own) < abs(value - other)
        for values, own, other in ((before, first, second), (after, second, first))
        if len(values) <= FEW
        for value in values
    )


def _student(before: Sequence[float], after: Sequence[float]) -> tuple[float, float]:
    """Student's t of the difference of two means whose values scatter alike, and its error."""
    means = [math.fsum(each) / len(each) for each in (before, after)]
    squares = math.fsum(
        (v - mean) ** 2 for values, mean in zip((before, after), means, strict=True) for v in values
    )
    count = len(before) + len(after)
    error = math.sqrt(squares / (count - 2) * (1 / len(before) + 1 / len(after)))
    difference = means[1] - means[0]
    if error == 0:
        return (math.copysign(math.inf, difference) if difference else 0.0), error
    return difference / error, error


def _change(before: Sequence[float], after: Sequence[float], at: int) -> Change:
    from scipy.special import stdtrit

    _, error = _student(before, after)
    low, high = (math.fsum(each) / len(each) for each in (before, after))
    half = float(stdtrit(len(before) + len(after) - 2, (1 + CONFIDENCE) / 2)) * error
    ratio = [math.exp(high - low + shift) for shift in (0.0, -half, half)]
    return Change(at, math.exp(low), math.exp(high), Estimate(*ratio))
