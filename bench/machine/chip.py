"""What may be known of a chip that workers compute on, whoever made it; None for what is not."""

from dataclasses import dataclass

from bench.records.run import GpuFacts


@dataclass(frozen=True)
class Now:
    """A chip between two blocks."""

    temperature_c: float | None = None
    gpu_mhz: float | None = None
    throttled: bool | None = None  # by heat, or in an emergency of power
    device_process_mib: float | None = None  # memory of a worker's processes


@dataclass(frozen=True)
class HeldDown:
    """Seconds in which limits held the clock down since the driver was loaded; they count up."""

    power_s: float | None = None
    heat_s: float | None = None


class Chip:
    """One of which nothing is told but its name; makers' own classes tell more."""

    def __init__(self, name: str = "unknown") -> None:
        self.name = name

    def facts(self) -> GpuFacts:
        """What stays the same."""
        return GpuFacts(name=self.name, memory_gib=None)

    def free_mib(self) -> float | None:
        """Memory that no process holds, in MiB."""
        return None

    def energy_mj(self) -> float | None:
        """Energy since the driver was loaded, in mJ."""
        return None

    def clock_mhz(self) -> float | None:
        """The present clock of the cores, in MHz."""
        return None

    def held_down(self) -> HeldDown:
        """How long limits have held the clock down."""
        return HeldDown()

    def now(self, group: int) -> Now:
        """Now, with the memory of a process group."""
        return Now(device_process_mib=self.process_mib(group))

    def processes_mib(self) -> dict[int, float | None]:
        """Process -> its memory on the chip, in MiB (None: not known), for all that are there."""
        return {}

    def process_mib(self, group: int) -> float | None:
        """Memory of all processes of a process group on the chip, in MiB."""
        return None
