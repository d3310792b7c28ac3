"""Memory of this process and of its device, as the operating system and the framework count it."""

import re
import resource
import sys
from pathlib import Path
from typing import Any

import psutil

MIB = 1024**2


def host_mib() -> float:
    """Resident memory of this process now, in MiB."""
    return psutil.Process().memory_info().rss / MIB


def host_peak_mib() -> float:
    """Largest resident memory of this process so far, in MiB."""
    if sys.platform == "linux":  # where getrusage counts what our parent held when it started us
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        if found := re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE):
            return int(found[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MIB if sys.platform == "darwin" else peak / 1024  # bytes there, KiB on Linux


def limit(mib: float | None) -> None:
    """Let allocations of this process fail once it holds `mib` MiB; nothing where that is None.

    Counted is what is private and writable, used or not. macOS takes no notice of the limit.
    """
    if mib is not None:
        most = round(mib * MIB)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def finds_cuda(backend: str) -> bool:
    """Whether a backend would compute on a GPU; some take the CPU without a word where not."""
    if backend == "torch":
        import torch

        return bool(torch.cuda.is_available())
    if backend == "tensorflow":
        import tensorflow

        return bool(tensorflow.config.list_physical_devices("GPU"))
    if backend == "jax":
        import jax

        try:
            return bool(jax.devices("cuda"))
        except (RuntimeError, AssertionError):  # the latter where JAX was installed without CUDA
            return False
    return True  # a user's own file answers for itself


def device_mib(backend: str) -> float | None:
    """GPU memory in use now, in MiB, by the backend's own count; None where it does not tell."""
    used: Any = None
    if backend == "torch":
        import torch

        used = torch.cuda.memory_allocated()
    elif backend == "tensorflow":
        import tensorflow

        used = tensorflow.config.experimental.get_memory_info("GPU:0")["current"]
    elif backend == "jax":
        import jax

        used = (jax.local_devices()[0].memory_stats() or {}).get("bytes_in_use")
    return None if used is None else float(used) / MIB


def forget_device_peak(backend: str, mode: str) -> None:
    """Count the peak from here on, where the backend can: the search for the fastest kernels in the
    first steps may have taken more than any step does. JAX cannot; and CUDA graphs compute in what
    they allocated when they were recorded, and would seem to take nothing.
    """
    if backend == "torch" and mode not in ("reduce-overhead", "max-autotune"):
        import torch

        torch.cuda.reset_peak_memory_stats()
    elif backend == "tensorflow":
        import tensorflow

        tensorflow.config.experimental.reset_memory_stats("GPU:0")


def device_peak_mib(backend: str) -> tuple[float | None, float | None]:
    """Peak memory in use and peak memory reserved on the GPU, in MiB, by the backend's own count.

    None for what a backend does not tell.
    """
    if backend == "torch":
        import torch

        used, reserved = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
        return float(used) / MIB, float(reserved) / MIB
    if backend == "tensorflow":
        import tensorflow

        return float(tensorflow.config.experimental.get_memory_info("GPU:0")["peak"]) / MIB, None
    if backend == "jax":
        import jax

        counts = jax.local_devices()[0].memory_stats() or {}
        peaks = (counts.get("peak_bytes_in_use"), counts.get("peak_pool_bytes"))
        used_mib, reserved_mib = (None if peak is None else float(peak) / MIB for peak in peaks)
        return used_mib, reserved_mib
    return None, None
