"""How many workers may live side by side, by the memory of the machine and of its GPU."""

import sys
from collections.abc import Sequence

import psutil

from bench.machine import gpu
from bench.parent.measurement import Measurement

MEMORY_FRACTION = 0.8  # of what is available at first, for the workers of a cohort


class MemoryBudget:
    """The memory that a cohort may take on the host, and on the GPU where it computes there."""

    def __init__(self, device: str) -> None:
        self.host_mib = psutil.virtual_memory().available / 2**20 * MEMORY_FRACTION
        self.gpu = next(iter(gpu.visible()), None) if device == "cuda" else None
        self.free_mib = self.gpu.free_mib() if self.gpu else None

    def for_more(
        self, live: Sequence[Measurement], expected_mib: Sequence[float | None] = ()
    ) -> int:
        """How many more workers as large as those that live fit beside them; one alone does.

        Where none lives yet: how many of the next ones fit, which took `expected_mib` in an earlier
        cohort (None: unknown). On a GPU nobody foretells what they take there.
        """
        if not live:
            known = [size for size in expected_mib if size is not None]
            if self.gpu or not known or len(known) < len(expected_mib):
                return 1
            return max(1, _fitting(self.host_mib, 0.0, max(known)))
        sizes = [measurement.host_mib for measurement in live]
        return max(0, min(_fitting(self.host_mib, sum(sizes), max(sizes)), self._on_gpu(live)))

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


def _fitting(available_mib: float, used_mib: float, size_mib: float) -> int:
    return int((available_mib - used_mib) / max(size_mib, 1.0))
