"""How XLA's convolutions on a CPU stand beside oneDNN's, which PyTorch and TensorFlow call.

`python tests/benchmarks/convolutions.py` runs each convolution of a network, and each of its two
gradients, in JAX and in PyTorch in turns, in one process: the milliseconds of both, and the ratio
of the network's sums. That part of a step no implementation on XLA could save.
"""

import argparse
import os
import random
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from bench.worker.environment import Environment
from resnet_impls.architecture import ARCHITECTURES, Architecture

OPERATIONS = ("forward", "input gradient", "kernel gradient")
Kind = tuple[int, int, int, int, int]  # kernel, stride, inputs, outputs, size of the input
Timed = dict[str, Callable[[], Any]]


def kinds(architecture: Architecture) -> Counter[Kind]:
    """How often the network has each kind of convolution."""
    outputs = {layer.name: layer.output[0] for layer in architecture.layers}
    return Counter(
        (conv.kernel, conv.stride, conv.inputs, conv.outputs, outputs[conv.name] * conv.stride)
        for conv in architecture.convs
    )


def in_jax(kind: Kind, images: np.ndarray, weights: np.ndarray, errors: np.ndarray) -> Timed:
    import jax

    kernel, stride, *_ = kind
    padding = [(kernel // 2, kernel // 2)] * 2

    def forward(x: Any, w: Any) -> Any:
        return jax.lax.conv_general_dilated(
            x, w, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    x, w, dy = map(jax.numpy.asarray, (images, weights, errors))
    calls = (
        jax.jit(forward),
        jax.jit(lambda x, w, dy: jax.vjp(lambda x: forward(x, w), x)[1](dy)),
        jax.jit(lambda x, w, dy: jax.vjp(lambda w: forward(x, w), w)[1](dy)),
    )
    given = ((x, w), (x, w, dy), (x, w, dy))
    return {
        name: partial(lambda call, given: jax.block_until_ready(call(*given)), call, arguments)
        for name, call, arguments in zip(OPERATIONS, calls, given, strict=True)
    }


def in_torch(kind: Kind, images: np.ndarray, weights: np.ndarray, errors: np.ndarray) -> Timed:
    import torch

    kernel, stride, *_ = kind
    last = torch.channels_last
    x, dy = (torch.from_numpy(a).permute(0, 3, 1, 2).contiguous(memory_format=last)
             for a in (images, errors))  # fmt: skip
    w = torch.from_numpy(weights).permute(3, 2, 0, 1).contiguous(memory_format=last)
    how: Any = ([stride] * 2, [kernel // 2] * 2, [1, 1], False, [0, 0], 1)

    def backward(*wanted: bool) -> Any:
        return torch.ops.aten.convolution_backward(dy, x, w, None, *how, [*wanted, False])

    calls = (
        lambda: torch.ops.aten.convolution(x, w, None, *how),
        lambda: backward(True, False),
        lambda: backward(False, True),
    )
    return dict(zip(OPERATIONS, calls, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=ARCHITECTURES, default="resnet14")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    threads = len(os.sched_getaffinity(0))
    os.environ |= Environment("cpu", "fp32", threads).variables()  # before either is imported

    stream = np.random.default_rng(0)
    sums: defaultdict[tuple[str, str], float] = defaultdict(float)
    for kind, times in kinds(ARCHITECTURES[options.model]).items():
        kernel, stride, inputs, outputs, size = kind
        images = stream.standard_normal((options.batch, size, size, inputs), np.float32)
        weights = stream.standard_normal((kernel, kernel, inputs, outputs), np.float32)
        left = size // stride
        errors = stream.standard_normal((options.batch, left, left, outputs), np.float32)
        sides = {side: make(kind, images, weights, errors)
                 for side, make in (("XLA", in_jax), ("oneDNN", in_torch))}  # fmt: skip
        for operation in OPERATIONS:
            taken: dict[str, list[float]] = {side: [] for side in sides}
            for round_ in range(options.rounds + 2):
                for side in random.sample(list(sides), len(sides)):
                    start = perf_counter()
                    sides[side][operation]()
                    if round_ >= 2:
                        taken[side].append((perf_counter() - start) * 1e3)
            ms = {side: statistics.median(values) for side, values in taken.items()}
            for side in sides:
                sums[operation, side] += times * ms[side]
            print(
                f"{times} × {kernel}×{kernel} stride {stride}, {inputs} to {outputs} at {size}, "
                f"{operation}: XLA {ms['XLA']:.2f} ms, oneDNN {ms['oneDNN']:.2f} ms, "
                f"{ms['XLA'] / ms['oneDNN']:.1f} times",
                flush=True,
            )
    for operation in OPERATIONS:
        xla, onednn = sums[operation, "XLA"], sums[operation, "oneDNN"]
        print(
            f"{options.model}, batch {options.batch}, {operation} of all convolutions: XLA "
            f"{xla:.1f} ms, oneDNN {onednn:.1f} ms, {xla / onednn:.2f} times"
        )


if __name__ == "__main__":
    main()
