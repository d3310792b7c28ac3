"""What has changed between runs: speed, memory and accuracy of each cell, and how sure that is."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from bench.analysis.groups import judged_together
from bench.analysis.ranking import floor_of
from bench.analysis.statistics import Floor, throughput
from bench.analysis.unpaired import accuracy_difference, difference, trimmed_mean
from bench.compare.sides import Pair, Side
from bench.data.datasets import images_tested
from bench.records import Record

WORDS = {  # of a change for the worse and for the better
    "speed": ("slower", "faster"),
    "time to target": ("slower", "faster"),
    "host memory": ("more", "less"),
    "device memory": ("more", "less"),
    "accuracy": ("lower", "higher"),
}
TIMES = ("speed", "time to target")  # which a noise floor is of


@dataclass(frozen=True)
class Change:
    """One quantity of one cell. A loss is a change for the worse, as a part of BASE's value
    (accuracy: as a difference of fractions); a gain is a negative loss.
    """

    base: float
    new: float
    loss: float
    low: float | None  # of its 95 % interval; None: no interval
    high: float | None
    p_value: float | None
    verdict: str | None  # one of WORDS, or tie; None where there is no interval to tell by


@dataclass(frozen=True)
class Changed:
    """What has changed of one cell; quantities that neither side knows are left out."""

    pair: Pair
    changes: dict[str, Change]
    unknown: tuple[str, ...]  # quantities that only one side knows


def changed(base: Side, news: Sequence[tuple[Side, Sequence[Pair]]]) -> list[list[Changed]]:
    """The changes of each NEW, with verdicts that account for how many of a kind there are."""
    found = []
    for new, pairs in news:
        runs = (*base.runs, *new.runs)
        floors = [floor_of((*pair.base, *pair.new), runs) for pair in pairs]
        found.append([_changed(*each) for each in zip(pairs, floors, strict=True)])
    cells = [cell for each in found for cell in each]
    for what in WORDS:
        changes = {i: cell.changes[what] for i, cell in enumerate(cells) if what in cell.changes}
        for i, change in judged_together(changes).items():
            cells[i].changes[what] = change
    return found


def _changed(pair: Pair, floor: Floor) -> Changed:
    changes: dict[str, Change] = {}
    unknown = []
    least = floor(min(len(pair.base), len(pair.new)))
    for what, of in QUANTITIES.items():
        base, new = (
            [value for row in rows if (value := of(row)) is not None]
            for rows in (pair.base, pair.new)
        )
        if what == "time to target":  # of all processes, or it would be that of the lucky ones
            base, new = (
                times if len(times) == len(rows) else []
                for times, rows in ((base, pair.base), (new, pair.new))
            )
        images = images_tested(pair.cell)
        if change := _change(what, base, new, least if what in TIMES else 0.0, images):
            if what == "speed" and pair.control:
                held = _change(what, *pair.against_control(), least)
                assert held is not None  # else it had been left out
                change = replace(held, base=change.base, new=change.new)
            changes[what] = change
        elif base or new:
            unknown.append(what)
    return Changed(pair, changes, tuple(unknown))


# What is compared -> its value in a row
QUANTITIES: dict[str, Callable[[Record], float | None]] = {
    "speed": lambda row: None if row.target_accuracy else throughput(row),
    "time to target": lambda row: row.reached_train_s,
    "host memory": lambda row: row.host_peak_mib,
    "device memory": lambda row: row.device_peak_mib,
    "accuracy": lambda row: row.test_accuracy,
}


def _change(
    what: str, base: Sequence[float], new: Sequence[float], floor: float, images: int | None = None
) -> Change | None:
    """Speeds and memory by their logarithms, since they scatter by factors; None without values.

    `images`: of the test set that an accuracy is of.
    """
    if not base or not new:
        return None
    if what == "accuracy":
        found, centers = accuracy_difference(new, base, images), (fmean(base), fmean(new))
    else:
        logs = [[math.log(value) for value in values] for values in (base, new)]
        found = difference(logs[1], logs[0])
        centers = math.exp(trimmed_mean(logs[0])), math.exp(trimmed_mean(logs[1]))
    assert found is not None
    loss = {"speed": lambda d: -math.expm1(d), "accuracy": lambda d: -d}.get(what, math.expm1)
    if found.low is None or found.high is None:
        return Change(*centers, loss(found.value), None, None, None, None)
    low, high = sorted((loss(found.low), loss(found.high)))
    worse, better = WORDS[what]
    verdict = "tie" if low <= 0 <= high else worse if low > 0 else better
    if abs(found.value) < math.log1p(floor):
        verdict = "tie"
    return Change(*centers, loss(found.value), low, high, found.p_value, verdict)
