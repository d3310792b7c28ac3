"""Why a cell may not run here: what its backend does not have, and what is not installed."""

import sys
from functools import cache
from typing import Literal

from bench.cells import INPUTS, Cell
from bench.executables import Executable, backend, implementation, lacking
from resnet_impls.devices import DEVICES as KINDS

SUBSTITUTES = {  # distributions of the same module
    "onnxruntime": ("onnxruntime-gpu",),
    "tensorrt": ("tensorrt-cu13", "tensorrt-cu12"),
}


def obstacle(
    of: Cell | Executable,
) -> tuple[Literal["unsupported", "unavailable"], str] | None:
    """Why it cannot run here, as (status, reason); None where nothing is known to forbid it."""
    if reason := unsupported(of):
        return "unsupported", reason
    pipeline = of.input if isinstance(of, Cell) else None
    if missing := _missing(backend(of).packages, pipeline, tuple(sys.path)):
        return "unavailable", f"not installed: {missing}"
    return None


def unsupported(of: Cell | Executable) -> str | None:
    """Why it can run nowhere, whatever is installed; None where nothing is known to forbid it."""
    workload = of.workload if isinstance(of, Cell) else None
    by_streams = isinstance(of, Cell) and of.streams is not None
    own = not of.implementation.endswith(".py")  # a user's file may be gone by the next time
    asked = _unsupported if own else _unsupported.__wrapped__
    return asked(
        *(of.implementation, of.backend, workload, of.model),
        *(of.device, of.precision, of.mode, by_streams),
    )


@cache  # a plan asks it of each of its cells, most of which differ in other things
def _unsupported(
    name: str,
    backend: str,
    workload: str | None,
    model: str,
    device: str,
    precision: str,
    mode: str,
    by_streams: bool,
) -> str | None:
    row = implementation(name)
    engine = next(each for each in row.backends if each.name == backend)
    for what, given, allowed in (
        *([("workload", workload, row.workloads)] if workload else []),
        ("model", model, row.models),
        ("device", device, engine.devices),
        ("precision", precision, engine.precisions),
        ("mode", mode, engine.modes),
    ):
        if given not in allowed:
            return f"{row.name} on {engine.name} has no {what} {given}, only {', '.join(allowed)}"
    if by_streams and device != "cpu":
        return "infer-streams runs on CPUs alone: it divides their cores among its streams"
    for given in (precision, mode):
        if given in lacking(engine, device):
            return KINDS[device].lacks[given]
    return None


@cache  # it reads files of each package on the path
def _missing(packages: tuple[str, ...], pipeline: str | None, path: tuple[str, ...]) -> str:
    """The packages that are not installed on a path, as a list."""
    needed = (*packages, *INPUTS.get(pipeline or "", ()))
    return ", ".join(package for package in needed if _installed(package, path) is None)


def installed(package: str) -> str | None:
    """The installed version of a distribution, without importing it; None where it is absent."""
    return _installed(package, tuple(sys.path))


@cache
def _installed(package: str, path: tuple[str, ...]) -> str | None:
    from importlib.metadata import PackageNotFoundError, version  # itself slow to import

    for name in (package, *SUBSTITUTES.get(package, ())):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None
