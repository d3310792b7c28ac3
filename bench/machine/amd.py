"""What AMD's driver tells of its GPUs, by the package `amdsmi`; None for what it does not.

Not yet run by the project on such a GPU.
"""

import os
from collections.abc import Callable
from functools import cache
from typing import Any

from bench.machine.chip import Chip, Now
from bench.records.run import GpuFacts

VISIBLE = "HIP_VISIBLE_DEVICES"


class AmdGpu(Chip):
    """One GPU, by its handle."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle

    def facts(self) -> GpuFacts:
        import amdsmi

        chip = _tell(amdsmi.amdsmi_get_gpu_asic_info, self.handle) or {}
        memory = _tell(amdsmi.amdsmi_get_gpu_vram_usage, self.handle)
        driver = _tell(amdsmi.amdsmi_get_gpu_driver_info, self.handle) or {}
        return GpuFacts(
            name=str(chip.get("market_name") or "AMD GPU"),
            memory_gib=None if memory is None else round(memory["vram_total"] / 1024, 1),
            driver=driver.get("driver_version"),
        )

    def free_mib(self) -> float | None:
        import amdsmi

        memory = _tell(amdsmi.amdsmi_get_gpu_vram_usage, self.handle)
        return None if memory is None else float(memory["vram_total"] - memory["vram_used"])

    def energy_mj(self) -> float | None:
        import amdsmi

        count = _tell(amdsmi.amdsmi_get_energy_count, self.handle)
        if count is None:
            return None
        # counted in steps of so many microjoules
        return float(count["energy_accumulator"] * count["counter_resolution"] / 1000)

    def clock_mhz(self) -> float | None:
        import amdsmi

        clock = _tell(amdsmi.amdsmi_get_clock_info, self.handle, amdsmi.AmdSmiClkType.GFX)
        mhz = clock and clock.get("clk")
        return mhz if isinstance(mhz, int) else None  # "N/A"

    def now(self, group: int) -> Now:
        import amdsmi

        return Now(
            temperature_c=_tell(
                amdsmi.amdsmi_get_temp_metric,
                self.handle,
                amdsmi.AmdSmiTemperatureType.HOTSPOT,
                amdsmi.AmdSmiTemperatureMetric.CURRENT,
            ),
            gpu_mhz=self.clock_mhz(),
        )


@cache
def visible() -> tuple[AmdGpu, ...]:
    """The GPUs that HIP_VISIBLE_DEVICES lets a worker see, by their numbers and in its order; none
    where `amdsmi` or the driver is missing.
    """
    try:
        import amdsmi

        amdsmi.amdsmi_init(amdsmi.AmdSmiInitFlags.INIT_AMD_GPUS)
        handles = amdsmi.amdsmi_get_processor_handles()
    except Exception:  # KeyError among them, where the library itself is missing
        return ()
    named = os.environ.get(VISIBLE)
    if named is None:
        return tuple(map(AmdGpu, handles))
    chosen = []
    for name in map(str.strip, named.split(",")):
        if not name.isdigit() or int(name) >= len(handles):
            break  # as HIP does
        chosen.append(AmdGpu(handles[int(name)]))
    return tuple(chosen)


def _tell(call: Callable[..., Any], *arguments: Any) -> Any:
    import amdsmi

    try:
        return call(*arguments)
    except amdsmi.AmdSmiException:
        return None
