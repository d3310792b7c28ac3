"""What this machine is: the facts that stay the same from run to run."""

import os
import platform
import socket
from functools import cache
from typing import Any

import psutil

from bench.machine import cpus, devices, memory
from bench.records.run import GpuFacts, Machine

GIB = 1024**3


@cache
def gpus() -> tuple[GpuFacts, ...]:
    """The GPUs that workers may use, the one that they take first; all of one maker."""
    for name in devices.ACCELERATORS:
        if chips := devices.DEVICES[name].chips():
            return tuple(chip.facts() for chip in chips)
    return ()


@cache
def _cpu() -> dict[str, Any]:
    from cpuinfo import get_cpu_info

    # It runs `python -m cpuinfo`, which is not to search the working directory for modules
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        return dict(get_cpu_info())
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before


def this_machine(name: str | None = None) -> Machine:
    """The machine that this process runs on; `name` stands in for the host's where given."""
    cpu = _cpu()
    usable, shared = memory.usable(), memory.shared_mib()
    flags = (flag for flag in cpu.get("flags", ()) if flag.startswith(("avx", "amx")))
    return Machine(
        machine=name or socket.gethostname(),
        cpu=cpu.get("brand_raw") or platform.processor() or platform.machine(),
        cpu_flags=tuple(flags),
        physical_cores=psutil.cpu_count(logical=False),
        logical_cores=psutil.cpu_count(),
        memory_gib=round(psutil.virtual_memory().total / GIB, 1),
        usable_cpus=len(cpus.allowed()),
        cpu_bound=cpus.bound(),
        usable_memory_gib=round(usable.mib / 1024, 2),
        memory_bound=usable.bound,
        shared_memory_gib=round(shared.mib / 1024, 3) if shared else None,
        gpus=gpus(),
        os=platform.platform(),
        python=platform.python_version(),
    )
