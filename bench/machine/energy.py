"""Energy of the chip that does the work, where the hardware counts it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.machine.chip import Chip

POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Counter:
    """One that counts energy up, in units of `unit_j` joules, and after `limit` from 0 again."""

    read: Callable[[], float | None]  # None where it cannot be read
    unit_j: float
    limit: int | None = None

    def joules(self, before: float, after: float) -> float:
        """Energy between two readings, in J, among which it began anew once at most."""
        if after < before and self.limit is not None:
            after += self.limit
        return (after - before) * self.unit_j


Reading = list[float | None]


@dataclass(frozen=True)
class Meter:
    """Counters whose sum is the chip's energy; without any, nothing is known of it."""

    counters: Sequence[Counter]

    def read(self) -> Reading:
        """Every counter now."""
        return [counter.read() for counter in self.counters]

    def joules(self, before: Reading, after: Reading) -> float | None:
        """Energy between two readings, in J; None where a counter could not be read."""
        total_j = 0.0
        for counter, first, last in zip(self.counters, before, after, strict=True):
            if first is None or last is None:
                return None
            total_j += counter.joules(first, last)
        return total_j if self.counters else None


def cpu_meter(root: Path = POWERCAP) -> Meter:
    """The RAPL counters of all CPU packages (Intel and AMD, Linux) below `root`.

    Packages only: cores, caches and built-in graphics are counted in them. Most systems let the
    superuser alone read them. Without the range of one, none is used.
    """
    counters = []
    for zone in sorted(root.glob("intel-rapl:*")):
        try:
            if (zone / "name").read_text().startswith("package"):
                limit = int((zone / "max_energy_range_uj").read_text())
                counters.append(Counter(_reader(zone / "energy_uj"), 1e-6, limit))
        except (OSError, ValueError):
            return Meter([])
    return Meter(counters)


def chip_meter(chip: Chip | None) -> Meter:
    """The driver's counter of a chip, in millijoules since the driver was loaded."""
    return Meter([Counter(chip.energy_mj, 1e-3)] if chip else [])


def _reader(file: Path) -> Callable[[], int | None]:
    def read() -> int | None:
        try:
            return int(file.read_text())
        except (OSError, ValueError):
            return None

    return read
