"""A worker measures a machine's peak rates: it multiplies and copies by the fastest library.

A data sheet would say more than any program reaches. What counts here is the best that a plain
matrix product, and a plain copy, get from the device in this environment. The matrices are normally
distributed: a GPU that is bound by its power multiplies simpler numbers faster. What it keeps up
for a second, once it is warm, is told beside the best moment: workloads last longer than that.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np

from bench.machine import memory
from bench.machine.devices import DEVICES
from bench.obstacles import installed
from bench.worker.memory import finds
from bench.worker.protocol import PeaksProbed
from resnet_impls.devices import DEVICES as KINDS

COPY_BYTES = 2**29  # far more than caches hold
SIZE_S = 0.25  # spent on each size
SUSTAINED_S = 1.0  # each: to become warm, and to be measured
CALLS_S = 0.01  # at least so long from clock to clock, since waiting for a GPU takes time itself

Run = Callable[[int], None]  # so many calls one after another; returns when the device is idle


@dataclass(frozen=True)
class Library:
    """Who multiplies and copies; both return what is to be run."""

    name: str
    multiply: Callable[[int], Run]  # two square matrices of so many rows
    copy: Callable[[int], Run]  # so many bytes


def best(device: str, precision: str) -> PeaksProbed:
    """The best rates found, in GFLOP/s and GB/s (bytes read and bytes written), and the library.

    Raises NotImplementedError where nothing is installed that computes so.
    """
    size = min(COPY_BYTES, int(memory.available().mib * memory.MIB) // 8)
    able = list(libraries(device, precision))
    if not able:
        raise NotImplementedError("neither PyTorch nor JAX is there to multiply")
    rows = DEVICES[device].peak_rows
    multiplied = [fastest(library.multiply, rows, _product) for library in able]
    copied = [fastest(library.copy, (size,), lambda count: 2 * count) for library in able]
    (rate, best_rows), library = max(zip(multiplied, able, strict=True), key=lambda pair: pair[0])
    return PeaksProbed(
        gflop_per_s=rate / 1e9,
        sustained_gflop_per_s=_product(best_rows) * sustained(library.multiply(best_rows)) / 1e9,
        library=library.name,
        copy_gb_per_s=max(copied)[0] / 1e9,
    )


def _product(rows: int) -> float:
    return 2.0 * rows**3


def sustained(run: Run) -> float:
    """Calls per second, over SUSTAINED_S in one stretch, after as long to become warm."""
    run(1)
    calls = max(1, round(SUSTAINED_S / _seconds(run, 1)))
    calls = max(1, round(calls * SUSTAINED_S / _seconds(run, calls)))  # by its pace when warm
    return calls / _seconds(run, calls)


def fastest(
    prepare: Callable[[int], Run], sizes: Sequence[int], work: Callable[[int], float]
) -> tuple[float, int]:
    """The most work per second in any repetition at any of the sizes that fit, and that size; small
    ones are tried first.
    """
    rate, best_size = 0.0, 0
    for size in sizes:
        try:
            run = prepare(size)
            run(1)  # compiles, and touches the memory for the first time
            once = _seconds(run, 1)
        except (MemoryError, RuntimeError):  # the latter is how the frameworks run out of memory
            if not rate:
                raise
            break
        calls = math.ceil(CALLS_S / once)
        for _ in range(max(3, round(SIZE_S / (calls * once)))):
            rate, best_size = max(
                (rate, best_size), (work(size) * calls / _seconds(run, calls), size)
            )
        if 8 * once > SIZE_S:  # twice the size is eight times the work
            break
    return rate, best_size


def _seconds(run: Run, calls: int) -> float:
    start = perf_counter()
    run(calls)
    return perf_counter() - start


def libraries(device: str, precision: str) -> Iterator[Library]:
    """NumPy where it can, PyTorch, and on a CPU oneDNN by way of it; JAX where there is no PyTorch
    for this device.
    """
    if device == "cpu" and precision == "fp32":
        yield _numpy()
    for name, library in (("torch", _torch), ("jax", _jax)):
        if installed(name) and finds(device, name):
            yield library(device, precision)
            if device == "cpu" and name == "torch":
                yield _onednn(precision)
            return


def _repeated(call: Callable[[], Any], wait: Callable[[Any], Any] = lambda result: None) -> Run:
    """`call` so many times; `wait` gets the last result, and returns when the device is idle."""

    def run(calls: int) -> None:
        for _ in range(calls):
            result = call()
        wait(result)

    return run


def _numpy() -> Library:
    stream = np.random.default_rng(0)

    def multiply(rows: int) -> Run:
        a, b, out = (stream.standard_normal((rows, rows), np.float32) for _ in range(3))
        return _repeated(lambda: np.matmul(a, b, out=out))

    def copy(size: int) -> Run:
        source, target = (np.ones(size // 4, np.float32) for _ in range(2))
        return _repeated(lambda: np.positive(source, out=target))

    return Library(f"numpy {np.__version__}", multiply, copy)


def _torch(device: str, precision: str) -> Library:
    import torch

    from resnet_impls.torch_loops import allow_tf32

    allow_tf32(precision == "tf32")
    kind, where = _torch_kind(precision), KINDS[device].torch

    def wait(result: Any) -> None:
        if device != "cpu":
            torch.accelerator.synchronize()

    def multiply(rows: int) -> Run:
        a, b, out = (torch.randn((rows, rows), dtype=kind, device=where) for _ in range(3))
        return _repeated(lambda: torch.mm(a, b, out=out), wait)

    def copy(size: int) -> Run:
        source, target = (torch.ones(size // 4, device=where) for _ in range(2))
        return _repeated(lambda: target.copy_(source), wait)

    return Library(f"torch {torch.__version__}", multiply, copy)


def _onednn(precision: str) -> Library:
    """The product as a convolution of single pixels, which PyTorch leaves to oneDNN; in fp32 it
    leaves others to MKL, and that is slower on processors of other makers than Intel.
    """
    import torch
    from torch.nn import functional

    def multiply(rows: int) -> Run:
        pixels = torch.randn((1, rows, rows // 16, 16), dtype=_torch_kind(precision))
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        kernel = torch.randn((rows, rows, 1, 1), dtype=pixels.dtype)
        return _repeated(lambda: functional.conv2d(pixels, kernel))

    return replace(
        _torch("cpu", precision), name=f"torch {torch.__version__}, oneDNN", multiply=multiply
    )


def _torch_kind(precision: str) -> Any:
    import torch

    return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)


def _jax(device: str, precision: str) -> Library:
    import jax
    import jax.numpy as jnp

    kind = {"bf16": jnp.bfloat16, "fp16": jnp.float16}.get(precision, jnp.float32)
    rounding = {"fp32": "highest", "tf32": "tensorfloat32"}.get(precision)

    def multiply(rows: int) -> Run:
        a, b = (jax.random.normal(jax.random.key(0), (rows, rows), kind) for _ in range(2))
        product = jax.jit(lambda a, b: jnp.matmul(a, b, precision=rounding))
        return _repeated(lambda: product(a, b), jax.block_until_ready)

    def copy(size: int) -> Run:
        # A mere copy would be optimised away; an addition reads and writes as much
        values, add = jnp.ones(size // 4), jax.jit(lambda values: values + 1)
        return _repeated(lambda: add(values), jax.block_until_ready)

    return Library(f"jax {jax.__version__}", multiply, copy)
