"""What this machine is: the facts that stay the same from run to run."""

import platform
import socket
from collections.abc import Mapping
from functools import cache
from typing import Any

import psutil

from bench.machine import gpu

GIB = 1024**3


@cache
def gpus() -> tuple[dict[str, Any], ...]:
    """The NVIDIA GPUs that workers may use, the one that they take first: name, GiB, driver."""
    return tuple(each.facts() for each in gpu.visible())


@cache
def _cpu() -> dict[str, Any]:
    from cpuinfo import get_cpu_info

    return dict(get_cpu_info())


def facts(name: str | None = None) -> dict[str, Any]:
    """This machine as JSON-ready values; `name` stands in for the host's name where given."""
    cpu = _cpu()
    return {
        "machine": name or socket.gethostname(),
        "cpu": cpu.get("brand_raw") or platform.processor() or platform.machine(),
        "cpu_flags": [flag for flag in cpu.get("flags", ()) if flag.startswith(("avx", "amx"))],
        "physical_cores": psutil.cpu_count(logical=False),
        "logical_cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / GIB, 1),
        "gpus": list(gpus()),
        "os": platform.platform(),
        "python": platform.python_version(),
    }


def processor(machine_facts: Mapping[str, Any], device: str) -> str:
    """The chip that does the work of a cell on `device`."""
    return machine_facts["gpus"][0]["name"] if device == "cuda" else machine_facts["cpu"]
