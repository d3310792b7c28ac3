"""How data-parallel training scales: the speed of several ranks against that of one.

Strong scaling compares at one batch size: the more ranks, the less each has to do. Weak scaling
compares at one batch size per rank: the more ranks, the larger the batch.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from bench.analysis.contests import Contest, Summary
from bench.analysis.statistics import Estimate, speed_ratio
from bench.cells import Cell

Kind = Literal["strong", "weak"]


@dataclass(frozen=True)
class Scaled:
    """A cell of several ranks, against that of one rank from the same rounds."""

    summary: Summary
    kind: Kind
    speed_up: Estimate  # images/s of all ranks over those of one
    efficiency: Estimate  # of that the part which the processors allow


def scaled(contests: Iterable[Contest]) -> list[Scaled]:
    """Each cell of several ranks by each kind of scaling for which one rank was measured."""
    ranked = [(c.place, s) for c in contests if c.cell.world_size for s in c.ranked]
    by_cell = {(place, s.cell): s for place, s in ranked}
    found = []
    for place, s in ranked:
        ranks = s.cell.world_size or 1
        if ranks == 1:
            continue
        strong = replace(s.cell, world_size=1)
        weak = replace(strong, batch_size=s.cell.batch_size // ranks)
        kinds: tuple[tuple[Kind, Cell], ...] = (("strong", strong), ("weak", weak))
        for kind, cell in kinds:
            one = by_cell.get((place, cell))
            if one and (up := speed_ratio(s.records, one.records)):
                found.append(Scaled(s, kind, up, _times(up, 1 / processors(s))))
    return found


def processors(s: Summary) -> int:
    """How many times the processors of one rank all ranks have: on the CPUs of a node they share
    them.
    """
    if s.cell.device != "cpu":
        return s.cell.world_size or 1
    return int(s.records[0].settings.get("nodes", 1)) if s.records else 1


def _times(e: Estimate, factor: float) -> Estimate:
    low, high = (None if end is None else end * factor for end in (e.low, e.high))
    return Estimate(e.value * factor, low, high)
