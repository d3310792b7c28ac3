"""What a run takes that names no implementation: what is installed, and how to add what is not."""

from collections.abc import Iterable, Iterator

from bench.errors import UsageError
from bench.obstacles import installed
from bench.request.request import Request
from resnet_impls.catalogue import CATALOGUE, Backend, Implementation

# The ways of writing a model in Keras besides the functional one. They compute the same. In the
# four published runs that have all three, they differ by more than 4 % on PyTorch alone: there a
# subclass infers 1.2 to 1.3 times as fast.
OTHER_KERAS = ("keras_sequential", "keras_subclass")
SLOW_TO_BUILD = ("torch_export",)  # AOTInductor: 40 s of C++ for each process
EXTRAS = ("torch", "tensorflow", "jax", "onnxruntime", "openvino", "litert")  # of pyproject.toml


def implementations(models: Iterable[str], *, every: bool) -> tuple[str, ...]:
    """`torch_module`, `keras_functional[jax]` and so on: all that can run here, as `--impl` takes
    it, but for what runs only where it is named. Without `every` it is one of Keras' APIs, and
    nothing that takes most of a short run to build.

    Raises UsageError where nothing is installed.
    """
    asked = set(models)
    names = tuple(
        f"{row.name}[{engine.name}]" if len(row.backends) > 1 else row.name
        for row, engine in _candidates(every)
        if _is_installed(engine) and asked & set(row.models)
    )
    if not names:
        extras = ", ".join(EXTRAS[:-1])
        raise UsageError(
            "nothing that could be measured is installed: pip install 'resnet-bench[all]', or "
            f"choose of {extras} and {EXTRAS[-1]} as in 'resnet-bench[torch,onnxruntime]'"
        )
    return names


def left_out(request: Request) -> set[str]:
    """What a request was filled in without, though its package is installed: OTHER_KERAS,
    SLOW_TO_BUILD.
    """
    names = {name.partition("[")[0] for each in request.matrices for name in each.impl or ()}
    if all(each.impl_named for each in request.matrices):
        return set()
    beside = {"keras_functional": OTHER_KERAS, "torch_module": SLOW_TO_BUILD}
    return {name for taken in beside if taken in names for name in beside[taken]} - names


def hint() -> str | None:
    """`not installed: tensorflow, jax (pip install 'resnet-bench[tensorflow,jax]')`; None where
    nothing is missing.
    """
    absent = {engine.name for _, engine in _candidates(True) if not _is_installed(engine)}
    present = {engine.name for _, engine in _candidates(True) if _is_installed(engine)}
    if missing := [name for name in EXTRAS if name in absent - present]:
        extras = ",".join(missing)
        return f"not installed: {', '.join(missing)} (pip install 'resnet-bench[{extras}]')"
    return None


def _candidates(every: bool) -> Iterator[tuple[Implementation, Backend]]:
    for row in CATALOGUE.values():
        if not row.opt_in and (every or row.name not in OTHER_KERAS + SLOW_TO_BUILD):
            yield from ((row, engine) for engine in row.backends)


def _is_installed(engine: Backend) -> bool:
    return all(installed(package) for package in engine.packages)
