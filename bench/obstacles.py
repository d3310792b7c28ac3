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
    pipeline = INPUTS.get(of.input or "", ()) if isinstance(of, Cell) else ()
    needed = (*backend(of).packages, *pipeline)
    missing = [package for package in needed if installed(package) is None]
    if missing:
        return "unavailable", f"not installed: {', '.join(missing)}"
    return None


def unsupported(of: Cell | Executable) -> str | None:
    """Why it can run nowhere, whatever is installed; None where nothing is known to forbid it."""
    row, engine = implementation(of.implementation), backend(of)
    workload = [("workload", of.workload, row.workloads)] if isinstance(of, Cell) else []
    for what, given, allowed in (
        *workload,
        ("model", of.model, row.models),
        ("device", of.device, engine.devices),
        ("precision", of.precision, engine.precisions),
        ("mode", of.mode, engine.modes),
    ):
        if given not in allowed:
            return f"{row.name} on {engine.name} has no {what} {given}, only {', '.join(allowed)}"
    if isinstance(of, Cell) and of.streams and of.device != "cpu":
        return "infer-streams runs on CPUs alone: it divides their cores among its streams"
    for given in (of.precision, of.mode):
        if given in lacking(engine, of.device):
            return KINDS[of.device].lacks[given]
    return None


def installed(package: str) -> str | None:
    """The installed version of a distribution, without importing it; None where it is absent."""
    return _installed(package, tuple(sys.path))


@cache
def _installed(package: str, path: tuple[str, ...]) -> str | None:
    """It reads files of each package on the path, which a plan of many cells would do for each."""
    from importlib.metadata import PackageNotFoundError, version  # itself slow to import

    for name in (package, *SUBSTITUTES.get(package, ())):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None
