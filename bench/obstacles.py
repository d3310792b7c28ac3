"""Why a cell may not run here: what its backend does not have, and what is not installed."""

import sys
from functools import cache
from typing import Any, Literal

from bench.cells import INPUTS, Cell
from bench.executables import Executable, implementation, lacking
from resnet_impls.catalogue import Backend
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
    if missing := _missing(of.implementation, of.backend, pipeline, tuple(sys.path)):
        return "unavailable", f"not installed: {missing}"
    return None


def unsupported(of: Cell | Executable) -> str | None:
    """Why it can run nowhere, whatever is installed; None where nothing is known to forbid it."""
    in_catalogue = not of.implementation.endswith(".py")
    known = _unsupported if in_catalogue else _unsupported.__wrapped__  # a file may go meanwhile
    return known(*_asked(of))


def _asked(of: Cell | Executable) -> tuple[Any, ...]:
    """What decides, as `_unsupported` takes it."""
    workload, streams = (of.workload, of.streams) if isinstance(of, Cell) else (None, None)
    executable = of.model, of.device, of.precision, of.mode
    ranks = of.world_size is not None, of.batch_norm
    return of.implementation, of.backend, workload, streams is not None, *ranks, *executable


@cache  # a plan asks it of each of its cells, most of which differ in other things
def _unsupported(
    name: str,
    backend: str,
    workload: str | None,
    by_streams: bool,
    by_ranks: bool,
    batch_norm: str | None,
    model: str,
    device: str,
    precision: str,
    mode: str,
) -> str | None:
    row, engine = implementation(name), _engine(name, backend)
    for what, given, allowed in (
        *([("workload", workload, row.workloads_on(engine))] if workload else []),
        ("model", model, row.models),
        ("device", device, engine.devices),
        ("precision", precision, engine.precisions),
        ("mode", mode, engine.modes),
    ):
        if given not in allowed:
            return f"{row.name} on {engine.name} has no {what} {given}, only {', '.join(allowed)}"
    if by_streams and device != "cpu":
        return "infer-streams runs on CPUs alone: it divides their cores among its streams"
    if by_ranks and engine.parallel:
        for what, given, allowed in (
            ("mode", mode, engine.parallel.modes),
            ("batch norm", str(batch_norm), engine.parallel.batch_norms),
        ):
            if given not in allowed:
                return f"train-dp of {row.name} has no {what} {given}, only {', '.join(allowed)}"
        if device == "mps":
            return "train-dp needs several devices, and a Mac has one GPU"
    for given in (precision, mode):
        if given in lacking(engine, device):
            return KINDS[device].lacks[given]
    return None


@cache
def _missing(name: str, backend: str, pipeline: str | None, path: tuple[str, ...]) -> str:
    """The packages that are not installed on a path, as a list."""
    needed = (*_engine(name, backend).packages, *INPUTS.get(pipeline or "", ()))
    return ", ".join(package for package in needed if _installed(package, path) is None)


def _engine(name: str, backend: str) -> Backend:
    return next(each for each in implementation(name).backends if each.name == backend)


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
