"""Which observations say most of a cell: those that share most of what its step time depends on.

First the contender, then the network and the precision, the machine, the workload, the batch size
and the threads. Another backend says nothing.
"""

import math
from collections.abc import Callable, Iterable
from functools import partial

from bench.cells import TRAINING, Cell
from bench.plan.observed import Observed
from resnet_impls.architecture import ARCHITECTURES

Distance = tuple[bool | float, ...]
Sight = tuple[Observed, bool]  # and whether it was made on this machine


class Observations:
    """What was observed: `own` on this very machine, `published` on others."""

    def __init__(self, own: Iterable[Observed], published: Iterable[Observed]) -> None:
        self.own = list(own)
        self.published = list(published)
        self._alike: dict[tuple[str, str], list[Sight]] = {}  # by backend and device
        self._near: dict[tuple[str | bool, ...], list[Sight]] = {}  # by what a contender is

    def with_own(self, found: Iterable[Observed]) -> "Observations":
        """These, and what was just measured here in place of what was known of the same runs."""
        fresh = list(found)
        runs = {each.run_id for each in fresh}
        others = [each for each in self.own if each.run_id not in runs]
        return Observations(others + fresh, self.published)

    def nearest(self, cell: Cell, *, same_mode: bool) -> list[Sight]:
        """Those that are equally near and nearest, five at most.

        In two steps, since a plan has many cells that differ only in what comes last in a distance.
        """
        training = cell.workload in TRAINING
        key = (
            *(cell.backend, cell.device, cell.implementation, cell.mode, training, cell.model),
            *(cell.precision, cell.workload, same_mode),
        )
        if key not in self._near:
            alike = self._like(cell.backend, cell.device)
            among = [each for each in alike if each[0].mode == cell.mode] if same_mode else alike
            self._near[key] = _first(among, partial(_contender_distance, cell))
        return _first(self._near[key], partial(_load_distance, cell))[-5:]

    def _like(self, backend: str, device: str) -> list[Sight]:
        """What was observed of a backend on a device, that of this machine first."""
        if (backend, device) not in self._alike:
            self._alike[backend, device] = [
                (each, here)
                for here, group in ((True, self.own), (False, self.published))
                for each in group
                if each.backend == backend and each.device == device and each.model in ARCHITECTURES
            ]
        return self._alike[backend, device]


def _first(among: Iterable[Sight], distance: Callable[[Observed, bool], Distance]) -> list[Sight]:
    """Those that are equally near and nearest, in their order."""
    by_distance: dict[Distance, list[Sight]] = {}
    for each, here in among:
        by_distance.setdefault(distance(each, here), []).append((each, here))
    return by_distance[min(by_distance)] if by_distance else []


def _contender_distance(cell: Cell, seen: Observed, here: bool) -> Distance:
    """The smaller the nearer; compared field by field, and before that of the load."""
    return (
        seen.implementation != cell.implementation,
        seen.mode != cell.mode,
        (seen.workload in TRAINING) != (cell.workload in TRAINING),
        seen.model != cell.model,
        seen.precision != cell.precision,
        not here,
        seen.workload != cell.workload,
    )


def _load_distance(cell: Cell, seen: Observed, here: bool) -> Distance:
    return (
        abs(math.log(seen.batch_size / cell.batch_size)),
        (seen.threads or cell.threads) != cell.threads,
        cell.target_accuracy is not None and seen.target_accuracy != cell.target_accuracy,
    )
