"""The kinds of devices that a run can measure: one row for each, and all that differs by it.

How frameworks call a kind is in `resnet_impls/devices.py`. A kind is offered where the machine
shows one. To add a kind, add its row to both.
"""

import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.errors import UsageError
from bench.machine import amd, gpu
from bench.machine.chip import Chip
from bench.obstacles import installed


def _none() -> tuple[Chip, ...]:
    return ()


def _built_for(tag: str, node: str, name: str) -> Callable[[], tuple[Chip, ...]]:
    """One chip where the system shows `node`, and PyTorch was built for it: `2.9.0+xpu`."""

    @cache
    def found() -> tuple[Chip, ...]:
        return (Chip(name),) if tag in (installed("torch") or "") and Path(node).exists() else ()

    return found


@cache
def _apple() -> tuple[Chip, ...]:
    here = sys.platform == "darwin" and platform.machine() == "arm64"
    return (Chip("Apple GPU"),) if here else ()


_amd_by_its_node = _built_for("+rocm", "/dev/kfd", "AMD GPU")


def _amd() -> tuple[Chip, ...]:
    return amd.visible() or _amd_by_its_node()


@dataclass(frozen=True)
class Device:
    """One kind. `tried`: the project itself has run it."""

    name: str
    title: str
    chips: Callable[[], tuple[Chip, ...]] = _none  # that workers may use; they take the first
    visible: str | None = None  # the variable that says which of them a process sees
    tried: bool = False
    # a typical block: long against a switch, and on a GPU against the tenth of a second in which
    # its energy counter moves; short against the drift
    block_s: float = 1.0
    peak_rows: tuple[int, ...] = (2048, 4096, 8192, 16384)  # of matrices that a peak is tried with
    assumed_gflop_per_s: float = 2000.0  # of a cell of which nothing is known yet
    packages: tuple[str, ...] = ()  # beginnings of distributions that compute there for frameworks


DEVICES: dict[str, Device] = {
    row.name: row
    for row in (
        Device(
            "cpu",
            "CPU",
            tried=True,
            block_s=0.5,
            peak_rows=(512, 1024, 2048, 4096, 8192),
            assumed_gflop_per_s=50.0,
        ),
        Device(
            "cuda",
            "NVIDIA GPU",
            lambda: gpu.visible(),
            gpu.VISIBLE,
            tried=True,
            packages=("nvidia-", "jax-cuda", "triton", "pytorch-triton"),
        ),
        Device(
            "rocm",
            "AMD GPU",
            _amd,
            amd.VISIBLE,
            packages=("jax-rocm", "triton", "pytorch-triton"),
        ),
        Device("mps", "Apple GPU", _apple),
        Device(
            "xpu",
            "Intel GPU",
            _built_for("+xpu", "/dev/dri", "Intel GPU"),
            "ZE_AFFINITY_MASK",
            packages=("intel-", "dpcpp-", "triton", "pytorch-triton"),
        ),
    )
}
ACCELERATORS = tuple(name for name in DEVICES if name != "cpu")


def chip(device: str) -> Chip | None:
    """The chip of a kind that workers compute on; None of the CPU, and where there is none."""
    return next(iter(DEVICES[device].chips()), None)


def found() -> list[str]:
    """The kinds that this machine shows: the CPU, and what else there is."""
    return ["cpu", *(name for name in ACCELERATORS if DEVICES[name].chips())]


def default() -> str:
    """`cuda` where workers may use such a GPU, else `cpu`; kinds not tried yet are to be named."""
    return next((name for name in found() if name != "cpu" and DEVICES[name].tried), "cpu")


def check(devices: tuple[str, ...]) -> None:
    """Raises UsageError where this machine does not show one of `devices`."""
    for name in devices:
        row = DEVICES[name]
        if name == "cpu" or row.chips():
            continue
        if row.visible and (named := os.environ.get(row.visible)) is not None:
            raise UsageError(
                f"--device {name}: {row.visible}={named} leaves no {row.title} to be used; name "
                "one of this machine by its number, or unset it"
            )
        raise UsageError(
            f"--device {name}: this machine shows no {row.title}; use --device "
            + " or ".join(found())
        )


def visibility(device: str, count: int = 1) -> dict[str, str]:
    """The environment in which a worker sees the `count` chips that it is to use, on a CPU none."""
    if device == "cpu":
        return {row.visible: "" for row in DEVICES.values() if row.visible and row.tried}
    name = DEVICES[device].visible
    if name is None:
        return {}
    numbers = os.environ.get(name) or ",".join(map(str, range(count)))
    return {name: ",".join(each.strip() for each in numbers.split(",")[:count])}
