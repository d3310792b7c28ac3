"""What happened on the machine while a worker ran a block: read before and after, not during.

The parent reads counters at both ends of a block, when all workers are suspended, and sleeps in
between. Of a GPU it reads the clock meanwhile, ten times a second: at the end the load is over.
What was busy beyond the worker's own account was other processes; steal is what the hypervisor gave
to other guests.
"""

import os
import resource
import statistics
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import psutil

from bench.machine import cpus, devices
from bench.machine.chip import Chip
from bench.machine.energy import chip_meter, cpu_meter

BUSY = ("user", "nice", "system", "irq", "softirq")  # steal and idle are none of it
CPUS = Path("/sys/devices/system/cpu")
# What a processor's own sensors are called in Linux: Intel, AMD, ARM boards
CPU_SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "cpu-thermal")


def own_cpu_s(helpers: Iterable[psutil.Process] = ()) -> float:
    """Processor time of this process so far, in s, with that of children it has waited for, and of
    `helpers` that still work for it.
    """
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    helped_s = sum(sum(helper.cpu_times()[:2]) for helper in helpers)
    return sum(usage.ru_utime + usage.ru_stime for usage in usages) + helped_s


@dataclass(frozen=True)
class Counters:
    """What the processors that we may use did since the machine started, and when it was read.

    In seconds; None where the system does not tell.
    """

    at_s: float
    busy_s: float | None
    stolen_s: float | None

    @classmethod
    def read(cls, threads: int | None = None) -> "Counters":
        """All of it now, of the first `threads` of them; the kernel counts in steps of some ms."""
        times = psutil.cpu_times(percpu=True)
        if hasattr(os, "sched_getaffinity"):  # not on macOS, which binds no process to processors
            ours = cpus.allowed()[:threads]
            numbers = cpus.online() if len(cpus.online()) == len(times) else range(len(times))
            by_number = dict(zip(numbers, times, strict=True))
            times = [by_number[cpu] for cpu in ours if cpu in by_number] or times
        busy_s = sum(getattr(cpu, kind, 0.0) for cpu in times for kind in BUSY)
        stolen = [cpu.steal for cpu in times if hasattr(cpu, "steal")]
        # Some sandboxes show zeros, though they have been busy at least with starting us
        return cls(perf_counter(), busy_s or None, sum(stolen) if stolen and busy_s else None)


@dataclass(frozen=True)
class AroundBlock:
    """What the machine did while a worker ran one block; None where it does not tell."""

    own_cores: float  # processors that the worker kept busy
    other_cores: float | None  # and those that other processes did
    stolen_cores: float | None  # and those that the hypervisor took
    energy_j: float | None  # of the chip that did the work


@dataclass(frozen=True)
class MachineState:
    """How the processors fared over all blocks of a worker; None where it cannot be read."""

    load_1min: float | None = None  # before the first block
    cpu_mhz: float | None = None
    gpu_mhz: float | None = None
    temperature_c: float | None = None
    throttled: bool | None = None
    device_process_mib: float | None = None
    power_capped_s: float | None = None  # of all blocks: the limit of power held the clock down


# What is seen of a chip at each block -> how the blocks are summed up
CHIP_STATES: dict[str, Callable[[list[Any]], Any]] = {
    "temperature_c": max,
    "gpu_mhz": statistics.median,
    "throttled": any,
    "device_process_mib": max,
    "power_capped_s": sum,
}
LOOK_S = 0.1  # from one look at a clock to the next


class Clock:
    """The clock of a chip while a block runs, by a thread that sleeps from look to look."""

    def __init__(self, chip: Chip) -> None:
        self.chip = chip
        self.seen_mhz: list[float] = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def _look(self) -> None:
        while not self.over.wait(LOOK_S):
            if (mhz := self.chip.clock_mhz()) is not None:
                self.seen_mhz.append(mhz)

    def end(self) -> float | None:
        """The median, in MHz; None of a block that was too short for a look."""
        self.over.set()
        self.thread.join()
        return statistics.median(self.seen_mhz) if self.seen_mhz else None


class Watch:
    """One worker's blocks as seen from outside: what else the machine did, and what it took."""

    def __init__(self, device: str, group: int, threads: int | None = None) -> None:
        self.threads = threads  # how many of our processors the worker is confined to
        self.chip = devices.chip(device)
        self.group = group  # of the worker's processes
        self.meter = cpu_meter() if device == "cpu" else chip_meter(self.chip)
        self.load_1min: float | None = None  # before the first block
        self.throttles: int | None = None
        self.seen: list[dict[str, Any]] = []  # the chip at each block

    def begin(self) -> None:
        """Read what counts up, just before a block."""
        if self.load_1min is None:
            self.load_1min = psutil.getloadavg()[0]
            self.throttles = throttles()
        self.energy = self.meter.read()
        if self.chip:
            self.held_down = self.chip.held_down()
            self.clock = Clock(self.chip)
        self.before = Counters.read(self.threads)

    def end(self, own_cpu_s: float) -> AroundBlock:
        """What happened since `begin`.

        `own_cpu_s`: processor time that the worker took for the block, by its own account.
        """
        after, before = Counters.read(self.threads), self.before
        joules = self.meter.joules(self.energy, self.meter.read())
        if self.chip:
            self.seen.append(self._at_end(self.chip))
        wall_s = after.at_s - before.at_s
        busy_s = _since(before.busy_s, after.busy_s)
        stolen_s = _since(before.stolen_s, after.stolen_s)
        return AroundBlock(
            own_cores=own_cpu_s / wall_s,
            other_cores=None if busy_s is None else (busy_s - own_cpu_s) / wall_s,
            stolen_cores=None if stolen_s is None else stolen_s / wall_s,
            energy_j=joules,
        )

    def _at_end(self, chip: Chip) -> dict[str, Any]:
        during_mhz, before, after = self.clock.end(), self.held_down, chip.held_down()
        heat_s = _since(before.heat_s, after.heat_s)
        seen = asdict(chip.now(self.group))
        seen["gpu_mhz"] = seen["gpu_mhz"] if during_mhz is None else during_mhz
        seen["power_capped_s"] = _since(before.power_s, after.power_s)
        if heat_s:
            seen["throttled"] = True
        return seen

    def summary(self) -> MachineState:
        """How the processors fared over all blocks.

        Of the CPU, whose sensors may be slow to read, they are read once, after the last block.
        """
        if self.chip:
            values = {
                name: [state[name] for state in self.seen if state[name] is not None]
                for name in CHIP_STATES
            }
            known = {name: CHIP_STATES[name](found) for name, found in values.items() if found}
            return MachineState(load_1min=self.load_1min, cpu_mhz=cpu_mhz(), **known)
        before, now = self.throttles, throttles()
        return MachineState(
            load_1min=self.load_1min,
            cpu_mhz=cpu_mhz(),
            temperature_c=cpu_temperature_c(),
            throttled=None if before is None or now is None else now > before,
        )


def _since(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def cpu_mhz() -> float | None:
    """Mean clock of the processors as the system tells it, in MHz."""
    try:
        frequency = psutil.cpu_freq()
    except (AttributeError, NotImplementedError, OSError):  # some systems and virtual machines
        return None
    return frequency.current if frequency and frequency.current else None


def cpu_temperature_c() -> float | None:
    """The hottest of the processor's own sensors, in degrees Celsius."""
    try:
        sensors = psutil.sensors_temperatures()
    except (AttributeError, OSError):  # there is none on macOS
        return None
    found = [sensor.current for name in CPU_SENSORS for sensor in sensors.get(name, ())]
    return max(found, default=None)


def throttles(cpus: Path = CPUS) -> int | None:
    """How often heat has slowed a core or a package so far; None where nobody counts."""
    try:
        counts = [
            int(file.read_text())
            for file in cpus.glob("cpu[0-9]*/thermal_throttle/*_throttle_count")
        ]
    except (OSError, ValueError):
        return None
    return sum(counts) if counts else None
