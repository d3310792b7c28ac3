"""What NVIDIA's driver tells of the GPU that workers compute on; None for what it does not.

The parent asks, between blocks, and takes no memory on the GPU for that.
"""

import os
from collections.abc import Callable, Iterator
from functools import cache
from itertools import takewhile
from typing import Any

from bench.machine.chip import Chip, HeldDown, Now
from bench.records.run import GpuFacts

VISIBLE = "CUDA_VISIBLE_DEVICES"
MIB = 1024**2
GIB = 1024**3
SHOWN = 12  # characters of a UUID: `GPU-8932f937`, by which CUDA knows it too

# Clocks held down by heat or in an emergency; the ordinary limit of power is not among them
SLOWDOWNS = ("HwSlowdown", "SwThermalSlowdown", "HwThermalSlowdown", "HwPowerBrakeSlowdown")


class Gpu(Chip):
    """One GPU, or an instance of one that MIG has divided, by its NVML handle.

    An instance has memory and processes of its own. Clocks, heat and limits are those of the GPU
    that it is a part of, and nobody tells its part of the energy.
    """

    def __init__(self, handle: Any, whole: Any = None) -> None:
        self.handle = handle
        self.instance = whole is not None
        self.whole = whole if self.instance else handle

    def facts(self) -> GpuFacts:
        """What stays the same: what it is, its memory, and the limits that it is run with."""
        import pynvml

        memory = _tell(pynvml.nvmlDeviceGetMemoryInfo, self.handle)
        limit_mw = _tell(pynvml.nvmlDeviceGetEnforcedPowerLimit, self.whole)
        ecc = _tell(pynvml.nvmlDeviceGetEccMode, self.whole)
        lanes = _tell(pynvml.nvmlDeviceGetMaxPcieLinkWidth, self.whole)
        generation = _tell(pynvml.nvmlDeviceGetMaxPcieLinkGeneration, self.whole)
        uuid = _tell(pynvml.nvmlDeviceGetUUID, self.handle)
        return GpuFacts(
            name=pynvml.nvmlDeviceGetName(self.handle),
            memory_gib=None if memory is None else round(memory.total / GIB, 1),
            driver=pynvml.nvmlSystemGetDriverVersion(),
            uuid=uuid and uuid[:SHOWN],
            mig=_is_divided(self.whole),
            power_limit_w=None if limit_mw is None else limit_mw / 1000,
            max_sm_mhz=_tell(pynvml.nvmlDeviceGetMaxClockInfo, self.whole, pynvml.NVML_CLOCK_SM),
            max_memory_mhz=_tell(
                pynvml.nvmlDeviceGetMaxClockInfo, self.whole, pynvml.NVML_CLOCK_MEM
            ),
            ecc=None if ecc is None else bool(ecc[0]),
            pcie=f"generation {generation}, {lanes} lanes" if generation and lanes else None,
        )

    def free_mib(self) -> float | None:
        import pynvml

        memory = _tell(pynvml.nvmlDeviceGetMemoryInfo, self.handle)
        return None if memory is None else float(memory.free) / MIB

    def compute_capability(self) -> tuple[int, int] | None:
        """As (8, 0) of Ampere, the first that has TF32."""
        import pynvml

        found = _tell(pynvml.nvmlDeviceGetCudaComputeCapability, self.whole)
        return found and tuple(found)

    def energy_mj(self) -> float | None:
        """GPUs before Volta do not count it."""
        import pynvml

        if self.instance:
            return None
        found: float | None = _tell(pynvml.nvmlDeviceGetTotalEnergyConsumption, self.handle)
        return found

    def clock_mhz(self) -> float | None:
        import pynvml

        found: float | None = _tell(pynvml.nvmlDeviceGetClockInfo, self.whole, pynvml.NVML_CLOCK_SM)
        return found

    def held_down(self) -> HeldDown:
        import pynvml

        policies = (pynvml.NVML_PERF_POLICY_POWER, pynvml.NVML_PERF_POLICY_THERMAL)
        counts = [_tell(pynvml.nvmlDeviceGetViolationStatus, self.whole, p) for p in policies]
        return HeldDown(*(count and count.violationTime / 1e9 for count in counts))

    def now(self, group: int) -> Now:
        import pynvml

        reasons = _tell(pynvml.nvmlDeviceGetCurrentClocksEventReasons, self.whole)
        return Now(
            temperature_c=_tell(
                pynvml.nvmlDeviceGetTemperature, self.whole, pynvml.NVML_TEMPERATURE_GPU
            ),
            gpu_mhz=self.clock_mhz(),
            throttled=None if reasons is None else held_down(reasons),
            device_process_mib=self.process_mib(group),
        )

    def processes_mib(self) -> dict[int, float | None]:
        """Those that draw are among them: they take the same cores."""
        import pynvml

        calls = (
            pynvml.nvmlDeviceGetGraphicsRunningProcesses,
            pynvml.nvmlDeviceGetComputeRunningProcesses,
        )
        listed = [process for call in calls for process in _tell(call, self.handle) or []]
        return {p.pid: None if p.usedGpuMemory is None else p.usedGpuMemory / MIB for p in listed}

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

    Empty where there is no driver. Of a GPU that MIG has divided, CUDA takes the first instance,
    unless one is named.
    """
    import pynvml

    try:
        pynvml.nvmlInit()  # for as long as this process lives
    except pynvml.NVMLError:
        return ()
    named = os.environ.get(VISIBLE)
    every = range(_tell(pynvml.nvmlDeviceGetCount) or 0)
    names = map(str, every) if named is None else map(str.strip, named.split(","))
    found = takewhile(lambda each: each is not None, map(_named, names))  # as CUDA does
    return tuple(each for each in found if each is not None)


def _named(name: str) -> Gpu | None:
    """Of an index, or of a UUID's beginning as `GPU-8932f937` or `MIG-…`; None where it is none, or
    that of several.
    """
    import pynvml

    if name.isdigit():
        handle = _tell(pynvml.nvmlDeviceGetHandleByIndex, int(name))
        return None if handle is None else _as_cuda_takes(handle)
    kind, _, rest = name.partition("-")
    if kind not in ("GPU", "MIG") or not rest:
        return None
    whole = [
        handle
        for index in range(_tell(pynvml.nvmlDeviceGetCount) or 0)
        if (handle := _tell(pynvml.nvmlDeviceGetHandleByIndex, index)) is not None
    ]
    if kind == "GPU":
        found = [_as_cuda_takes(each) for each in whole if _is_called(each, name)]
    else:
        parts = ((part, each) for each in whole for part in _instances(each))
        found = [Gpu(part, each) for part, each in parts if _is_called(part, name)]
    return found[0] if len(found) == 1 else None


def _is_called(handle: Any, beginning: str) -> bool:
    import pynvml

    return (_tell(pynvml.nvmlDeviceGetUUID, handle) or "").startswith(beginning)


def _as_cuda_takes(handle: Any) -> Gpu:
    first = next(_instances(handle), None)
    return Gpu(handle) if first is None else Gpu(first, handle)


def _is_divided(handle: Any) -> bool | None:
    import pynvml

    mode = _tell(pynvml.nvmlDeviceGetMigMode, handle)
    return None if mode is None else bool(mode[0])


def _instances(handle: Any) -> Iterator[Any]:
    """The instances of a GPU that MIG has divided."""
    import pynvml

    if _is_divided(handle):
        for index in range(_tell(pynvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
            found = _tell(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, index)
            if found is not None:
                yield found


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
