"""Memory of this process and of its device, as the operating system and the framework count it."""

import contextlib
import re
import resource
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import psutil

from resnet_impls.devices import DEVICES

MIB = 1024**2


def host_mib(ranks: Iterable[psutil.Process] = ()) -> float:
    """Resident memory now of this process, and of those that train with it, in MiB."""
    every = (psutil.Process(), *ranks)
    return sum(process.memory_info().rss for process in every) / MIB


def host_peak_mib(ranks: Sequence[psutil.Process] = ()) -> float:
    """Largest resident memory so far of this process, and of those that train with it, in MiB."""
    if sys.platform == "linux":  # where getrusage counts what our parent held when it started us
        found = []
        for pid in ("self", *(process.pid for process in ranks)):
            status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
            found += re.findall(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
        if len(found) == 1 + len(ranks):
            return sum(map(int, found)) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    own = peak / MIB if sys.platform == "darwin" else peak / 1024  # bytes there, KiB on Linux
    return own + sum(process.memory_info().rss for process in ranks) / MIB


def limit(mib: float | None) -> None:
    """Let allocations of this process fail once it holds `mib` MiB; nothing where that is None.

    Counted is what is private and writable, used or not. macOS takes no notice of the limit.
    """
    if mib is not None:
        most = round(mib * MIB)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def finds(device: str, backend: str) -> bool:
    """Whether a backend would compute on a device; some take the CPU without a word where not."""
    kind = DEVICES[device]
    if device == "cpu":
        return True
    if backend == "torch":
        import torch

        # ROCm's build has AMD's GPUs under the name of NVIDIA's
        amd = torch.version.hip is not None
        there = (
            torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        )
        return there is not None and there.type == kind.torch and amd == (device == "rocm")
    if backend == "tensorflow":
        import tensorflow

        return bool(kind.tensorflow and tensorflow.config.list_physical_devices(kind.tensorflow))
    if backend == "jax":
        import jax

        try:
            return kind.jax is not None and bool(jax.devices(kind.jax))
        except (RuntimeError, AssertionError):  # the latter where JAX was installed without CUDA
            return False
    return True  # a user's own file answers for itself


def _of_torch(count: str) -> float | None:
    """One of PyTorch's counts of the accelerator's memory, in bytes; None where it has none."""
    import torch

    counts = torch.accelerator if hasattr(torch.accelerator, count) else torch.cuda  # before 2.9
    try:
        return float(getattr(counts, count)())
    except (RuntimeError, NotImplementedError):  # of a device whose allocator does not count
        return None


def device_mib(backend: str) -> float | None:
    """GPU memory in use now, in MiB, by the backend's own count; None where it does not tell."""
    used: Any = None
    if backend == "torch":
        used = _of_torch("memory_allocated")
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
    if backend == "torch" and mode in ("eager", "compiled"):
        import torch

        with contextlib.suppress(RuntimeError, NotImplementedError):
            if hasattr(torch.accelerator, "reset_peak_memory_stats"):
                torch.accelerator.reset_peak_memory_stats()
            else:
                torch.cuda.reset_peak_memory_stats()
    elif backend == "tensorflow":
        import tensorflow

        tensorflow.config.experimental.reset_memory_stats("GPU:0")


def device_peak_mib(backend: str) -> tuple[float | None, float | None]:
    """Peak memory in use and peak memory reserved on the GPU, in MiB, by the backend's own count.

    None for what a backend does not tell.
    """
    if backend == "torch":
        counts = map(_of_torch, ("max_memory_allocated", "max_memory_reserved"))
        used_mib, reserved_mib = (None if count is None else count / MIB for count in counts)
        return used_mib, reserved_mib
    if backend == "tensorflow":
        import tensorflow

        return float(tensorflow.config.experimental.get_memory_info("GPU:0")["peak"]) / MIB, None
    if backend == "jax":
        import jax

        stats = jax.local_devices()[0].memory_stats() or {}
        peaks = (stats.get("peak_bytes_in_use"), stats.get("peak_pool_bytes"))
        used_mib, reserved_mib = (None if peak is None else float(peak) / MIB for peak in peaks)
        return used_mib, reserved_mib
    return None, None
