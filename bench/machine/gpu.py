"""What NVIDIA's driver tells of the GPU that workers compute on; None for what it does not.

The parent asks, between blocks, and takes no memory on the GPU for that.
"""

import os
from collections.abc import Callable
from functools import cache
from itertools import takewhile
from typing import Any

from bench.records.run import GpuFacts

MIB = 1024**2
GIB = 1024**3

# Clocks held down by heat or in an emergency; the ordinary limit of power is not among them
SLOWDOWNS = ("HwSlowdown", "SwThermalSlowdown", "HwThermalSlowdown", "HwPowerBrakeSlowdown")


class Gpu:
    """One GPU, by its NVML handle."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle

    def facts(self) -> GpuFacts:
        """What stays the same: name, memory in GiB, version of the driver."""
        import pynvml

        memory = _tell(pynvml.nvmlDeviceGetMemoryInfo, self.handle)
        return GpuFacts(
            name=pynvml.nvmlDeviceGetName(self.handle),
            memory_gib=None if memory is None else round(memory.total / GIB, 1),
            driver=pynvml.nvmlSystemGetDriverVersion(),
        )

    def free_mib(self) -> float | None:
        """Memory that no process holds, in MiB."""
        import pynvml

        memory = _tell(pynvml.nvmlDeviceGetMemoryInfo, self.handle)
        return None if memory is None else float(memory.free) / MIB

    def compute_capability(self) -> tuple[int, int] | None:
        """As (8, 0) of Ampere, the first that has TF32."""
        import pynvml

        found = _tell(pynvml.nvmlDeviceGetCudaComputeCapability, self.handle)
        return found and tuple(found)

    def energy_mj(self) -> int | None:
        """Energy since the driver was loaded, in mJ; GPUs before Volta do not count it."""
        import pynvml

        return _tell(pynvml.nvmlDeviceGetTotalEnergyConsumption, self.handle)

    def state(self, group: int) -> dict[str, Any]:
        """Now, by the names of Record's fields: temperature, clock, whether that is held down,
        and the memory of a process group.
        """
        import pynvml

        gpu = self.handle
        reasons = _tell(pynvml.nvmlDeviceGetCurrentClocksEventReasons, gpu)
        return {
            "temperature_c": _tell(
                pynvml.nvmlDeviceGetTemperature, gpu, pynvml.NVML_TEMPERATURE_GPU
            ),
            "gpu_mhz": _tell(pynvml.nvmlDeviceGetClockInfo, gpu, pynvml.NVML_CLOCK_SM),
            "throttled": None if reasons is None else held_down(reasons),
            "device_process_mib": self.process_mib(group),
        }

    def process_mib(self, group: int) -> float | None:
        """GPU memory of all processes of a process group, their contexts included, in MiB.

        None where the driver lists none of them: it may know a container's by other ids.
        """
        import pynvml

        processes = _tell(pynvml.nvmlDeviceGetComputeRunningProcesses, self.handle) or []
        used = [p.usedGpuMemory for p in processes if _group(p.pid) == group]
        return sum(used) / MIB if used and None not in used else None


@cache
def visible() -> tuple[Gpu, ...]:
    """The GPUs that CUDA_VISIBLE_DEVICES lets a worker see, in its order; a worker takes the first.

    Empty where there is no driver.
    """
    import pynvml

    try:
        pynvml.nvmlInit()  # for as long as this process lives
    except pynvml.NVMLError:
        return ()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    every = range(_tell(pynvml.nvmlDeviceGetCount) or 0)
    names = map(str, every) if named is None else map(str.strip, named.split(","))
    handles = takewhile(lambda handle: handle is not None, map(_handle, names))  # as CUDA does
    return tuple(map(Gpu, handles))


def _handle(name: str) -> Any:
    """Of an index, or of a name as `GPU-…` or `MIG-…`; None where there is no such GPU."""
    import pynvml

    if name.isdigit():
        return _tell(pynvml.nvmlDeviceGetHandleByIndex, int(name))
    return _tell(pynvml.nvmlDeviceGetHandleByUUID, name)


def held_down(reasons: int) -> bool:
    """Whether NVML's reasons for the present clocks include heat, or an emergency of power."""
    import pynvml

    return any(reasons & getattr(pynvml, f"nvmlClocksEventReason{n}") for n in SLOWDOWNS)


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except OSError:  # it has ended, or lives in another container
        return None


def _tell(call: Callable[..., Any], *arguments: Any) -> Any:
    import pynvml

    try:
        return call(*arguments)
    except (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError):
        return None
