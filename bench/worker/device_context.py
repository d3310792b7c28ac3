"""Waiting for a device without its framework: what is left of a block's work after its end.

Every framework on NVIDIA's GPUs computes in the device's primary context, and on AMD's in its HIP
equivalent. To synchronise that waits for whatever any of its streams still has to do.
"""

import ctypes
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any, Protocol


class DeviceContext(Protocol):
    """What a worker computes in."""

    def synchronize(self) -> None:
        """Return when the device has nothing left to do for this process."""


class CudaContext:
    """The primary context of the first GPU that this process sees, by the driver's API."""

    def __init__(self, driver: Any = None) -> None:
        """Raises OSError where there is no driver or no device."""
        self.driver = driver or ctypes.CDLL("libcuda.so.1")
        device, self.context = ctypes.c_int(), ctypes.c_void_p()
        self._call("cuInit", 0)
        self._call("cuDeviceGet", ctypes.byref(device), 0)
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(self.context), device)

    def synchronize(self) -> None:
        self._call("cuCtxPushCurrent_v2", self.context)
        try:
            self._call("cuCtxSynchronize")
        finally:
            self._call("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))

    def _call(self, name: str, *arguments: Any) -> None:
        if status := getattr(self.driver, name)(*arguments):
            raise OSError(f"{name} failed with CUDA's error {status}")


class HipContext:
    """All streams of the first AMD GPU that this process sees, by the HIP runtime."""

    def __init__(self, runtime: Any = None) -> None:
        """Raises OSError where there is no runtime."""
        self.runtime = runtime or ctypes.CDLL("libamdhip64.so")

    def synchronize(self) -> None:
        if status := self.runtime.hipDeviceSynchronize():
            raise OSError(f"hipDeviceSynchronize failed with HIP's error {status}")


class TorchContext:
    """The streams of PyTorch's accelerator, where nothing below PyTorch is known to wait for."""

    def __init__(self) -> None:
        """Raises OSError where nothing has imported PyTorch."""
        if "torch" not in sys.modules:
            raise OSError("PyTorch is not in use")

    def synchronize(self) -> None:
        import torch

        torch.accelerator.synchronize()


CONTEXTS: dict[str, Callable[[], DeviceContext]] = {
    "cuda": CudaContext,
    "rocm": HipContext,
    "mps": TorchContext,
    "xpu": TorchContext,
}


def of(device: str) -> DeviceContext | None:
    """The context of a device that computes while its caller goes on; None of a CPU, and where
    there is none to be had.
    """
    try:
        return CONTEXTS[device]() if device in CONTEXTS else None
    except OSError:
        return None


def left_s(context: DeviceContext) -> float:
    """Seconds for which the device went on with what it had been given; what it takes to ask an
    idle one is taken off.
    """
    start = perf_counter()
    context.synchronize()
    waited = perf_counter()
    context.synchronize()
    return max(0.0, (waited - start) - (perf_counter() - waited))
