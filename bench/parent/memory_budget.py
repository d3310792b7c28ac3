"""How many workers may live side by side, by the memory of the machine and of its GPU."""

import sys
from collections.abc import Sequence

from bench.machine import devices, memory
from bench.machine.memory import Bounded
from bench.parent.measurement import Measurement

MEMORY_FRACTION = 0.8  # of what is available at first, for the workers of a cohort


class MemoryBudget:
    """The memory that a cohort may take on the host, and on the GPU where it computes there."""

    def __init__(self, device: str) -> None:
        self.host_mib = for_workers().mib
        self.gpu = devices.chip(device)
        self.free_mib = self.gpu.free_mib() if self.gpu else None

    def for_more(
        self, live: Sequence[Measurement], expected_mib: Sequence[float | None] = ()
    ) -> int:
        """How many of the next workers fit beside those that live; one alone always does.

        The next ones are expected to take `expected_mib` each. Where that is not known (None), one
        is taken for as large as the largest that lives; where none lives, it has to show its size
        first. On a GPU nobody foretells what they take there.
        """
        sizes = [measurement.host_mib for measurement in live]
        if not live and self.gpu:
            return 1
        if not expected_mib:
            fitting = _fitting(self.host_mib, sum(sizes), max(sizes)) if live else 0
        else:
            fitting = _next(self.host_mib - sum(sizes), expected_mib, max(sizes, default=None))
        return min(fitting, self._on_gpu(live)) if live else max(1, fitting)

    def _on_gpu(self, live: Sequence[Measurement]) -> int:
        """By what the GPU has lost since the cohort began, since the driver may not know whose it
        is; so all are taken for equally large, where it does not.
        """
        free_mib = self.gpu.free_mib() if self.gpu else None
        if self.gpu is None or self.free_mib is None or free_mib is None:
            return sys.maxsize  # no limit that is known
        used_mib = max(0.0, self.free_mib - free_mib)
        sizes = [self.gpu.process_mib(m.child.process.pid) for m in live]
        largest = max([used_mib / len(live), *(size for size in sizes if size)])
        return _fitting(self.free_mib * MEMORY_FRACTION, used_mib, largest)


def for_workers() -> Bounded:
    """What workers may take together of the memory that is available now, in MiB, and its bound."""
    found = memory.available()
    return Bounded(found.mib * MEMORY_FRACTION, found.bound)


def _next(left_mib: float, expected_mib: Sequence[float | None], typical: float | None) -> int:
    """How many of the next workers, in their order, fit into `left_mib`."""
    for count, expected in enumerate(expected_mib):
        size = typical if expected is None else expected
        if size is None or (left_mib := left_mib - max(size, 1.0)) < 0:
            return count
    return len(expected_mib)


def _fitting(available_mib: float, used_mib: float, size_mib: float) -> int:
    return max(0, int((available_mib - used_mib) / max(size_mib, 1.0)))
