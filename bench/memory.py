"""Memory of this process and of its device, as the operating system and the framework count it."""

import resource
import sys

import psutil

MIB = 1024**2


def host_mib() -> float:
    """Resident memory of this process now, in MiB."""
    return psutil.Process().memory_info().rss / MIB


def host_peak_mib() -> float:
    """Largest resident memory of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MIB if sys.platform == "darwin" else peak / 1024  # bytes there, KiB on Linux


def device_peak_mib(backend: str) -> tuple[float | None, float | None]:
    """Peak memory in use and peak memory reserved on the GPU, in MiB, by the backend's own count.

    None for what a backend does not tell.
    """
    if backend == "torch":
        import torch

        return torch.cuda.max_memory_allocated() / MIB, torch.cuda.max_memory_reserved() / MIB
    if backend == "tensorflow":
        import tensorflow

        return tensorflow.config.experimental.get_memory_info("GPU:0")["peak"] / MIB, None
    if backend == "jax":
        import jax

        counts = jax.local_devices()[0].memory_stats() or {}
        used, reserved = counts.get("peak_bytes_in_use"), counts.get("peak_pool_bytes")
        return used and used / MIB, reserved and reserved / MIB
    return None, None
