"""The fastest script that an engine's user would write by hand: what its implementation is up to.

Usage: `python bare_engine.py NAME FOLDER`, where FOLDER holds the arrays of a dataset. Batch norms
are folded by hand, shapes are fixed, and nothing is bound to be fair. For every number of steps on
a line of standard input it infers so many batches and prints the seconds that they took.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from resnet_impls.architecture import ARCHITECTURES, BATCH_NORM_EPSILON, Architecture, Conv
from resnet_impls.weights import initial_weights

BATCH = 64
THREADS = int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))
Steps = tuple[Iterator[Callable[[], object]], Callable[[], object]]  # steps, and their end
NETWORK: Architecture = ARCHITECTURES["resnet14"]
WEIGHTS = initial_weights(NETWORK, 0)


def folded(conv: Conv) -> tuple[np.ndarray, np.ndarray]:
    """Kernel (O, I, H, W) and bias (O,) of a convolution with its batch norm in them."""
    scale, bias, mean, variance = (
        WEIGHTS[f"{conv.norm}.{leaf}"] for leaf in ("scale", "bias", "mean", "variance")
    )
    factor = scale / np.sqrt(variance + np.float32(BATCH_NORM_EPSILON))
    kernel = WEIGHTS[f"{conv.name}.kernel"].transpose(3, 2, 0, 1) * factor[:, None, None, None]
    return np.ascontiguousarray(kernel), bias - mean * factor


def forward(x, convolve, relu, add, head):
    """The network by an engine's own four operations."""
    x = relu(convolve(x, NETWORK.stem))
    for block in NETWORK.blocks:
        shortcut = convolve(x, block.shortcut) if block.shortcut else x
        for conv in block.residual[:-1]:
            x = relu(convolve(x, conv))
        x = relu(add(convolve(x, block.residual[-1]), shortcut))
    return head(x)


def onnxruntime_engine(batches: list[np.ndarray]) -> Steps:
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    nodes: list[Any] = []
    tensors: list[Any] = []

    def constant(name, value):
        tensors.append(numpy_helper.from_array(value, name))
        return name

    def node(operator, *inputs, **attributes):
        nodes.append(helper.make_node(operator, inputs, [f"n{len(nodes)}"], **attributes))
        return nodes[-1].output[0]

    def convolve(x, conv):
        kernel, bias = folded(conv)
        inputs = x, constant(conv.name, kernel), constant(conv.norm, bias)
        return node("Conv", *inputs, pads=[conv.padding] * 4, strides=[conv.stride] * 2)

    def head(x):
        x = node("Flatten", node("GlobalAveragePool", x))
        kernel, bias = constant("k", WEIGHTS["head.kernel"]), constant("b", WEIGHTS["head.bias"])
        return node("Gemm", x, kernel, bias)

    y = forward("x", convolve, lambda x: node("Relu", x), lambda a, b: node("Add", a, b), head)
    shapes = {"x": batches[0].shape, y: (BATCH, 10)}
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "bare", ends[:1], ends[1:], tensors),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=9,
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    if "spin" not in sys.argv:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return (partial(session.run, None, {"x": x}) for x in cycle(batches)), int


def openvino_engine(batches: list[np.ndarray]) -> Steps:
    import openvino
    import openvino.opset13 as ops

    def convolve(x, conv):
        kernel, bias = folded(conv)
        pads, strides = [conv.padding] * 2, [conv.stride] * 2
        x = ops.convolution(x, ops.constant(kernel), strides, pads, pads, [1, 1])
        return ops.add(x, ops.constant(bias[None, :, None, None]))

    def head(x):
        x = ops.matmul(ops.reduce_mean(x, np.array([2, 3])), WEIGHTS["head.kernel"], False, False)
        return ops.add(x, ops.constant(WEIGHTS["head.bias"]))

    start = ops.parameter(batches[0].shape, np.float32)
    model = openvino.Model([forward(start, convolve, ops.relu, ops.add, head)], [start])
    hint = "THROUGHPUT" if "throughput" in sys.argv else "LATENCY"
    options = {"PERFORMANCE_HINT": hint, "INFERENCE_NUM_THREADS": THREADS}
    options["INFERENCE_PRECISION_HINT"] = "f32"  # by itself bf16, where the CPU has instructions
    compiled = openvino.compile_model(model, "CPU", options)
    if hint == "THROUGHPUT":
        queue = openvino.AsyncInferQueue(compiled)
        begin = partial(queue.start_async, share_inputs=True)
        return (partial(begin, {0: x}) for x in cycle(batches)), queue.wait_all
    infer = partial(compiled.create_infer_request().infer, share_inputs=True, share_outputs=True)
    return (partial(infer, {0: x}) for x in cycle(batches)), int


def torch_export(batches: list[np.ndarray]) -> Steps:
    import torch
    import torch.nn.functional as F  # noqa: N812
    from torch._inductor import aoti_compile_and_package, aoti_load_package

    class Bare(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.convs = torch.nn.ModuleDict()
            for conv in NETWORK.convs:
                layer = torch.nn.Conv2d(
                    conv.inputs, conv.outputs, conv.kernel, conv.stride, conv.padding
                )
                for parameter, value in zip(layer.parameters(), folded(conv), strict=True):
                    parameter.data = torch.from_numpy(value)
                self.convs[conv.name.replace(".", "_")] = layer
            self.head = torch.nn.Linear(NETWORK.features, NETWORK.classes)

        def forward(self, x):
            def convolve(x, conv):
                return self.convs[conv.name.replace(".", "_")](x)

            return forward(x, convolve, F.relu, torch.add, lambda x: self.head(x.mean((2, 3))))

    last = {"memory_format": torch.channels_last}
    model = Bare().eval().to(**last)
    placed = [torch.from_numpy(x).to(**last) for x in batches]
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        package = aoti_compile_and_package(
            torch.export.export(model, (placed[0],)),
            package_path=f"{folder}/bare.pt2",
            inductor_configs={"freezing": True},
        )
        network = aoti_load_package(package)
    torch.set_grad_enabled(False)
    return (partial(network, x) for x in cycle(placed)), int


def litert_engine(batches: list[np.ndarray]) -> Steps:
    import tensorflow as tf
    from ai_edge_litert.compiled_model import (
        CompiledModel,
        CpuOptions,
        HardwareAccelerator,
        Options,
    )

    def convolve(x, conv):
        kernel, bias = folded(conv)
        if conv.stride > 1:
            x = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
        padding = "SAME" if conv.stride == 1 else "VALID"
        return tf.nn.conv2d(x, kernel.transpose(2, 3, 1, 0), conv.stride, padding) + bias

    def head(x):
        return tf.reduce_mean(x, [1, 2]) @ WEIGHTS["head.kernel"] + WEIGHTS["head.bias"]

    channels_last = [np.ascontiguousarray(x.transpose(0, 2, 3, 1)) for x in batches]
    program = tf.function(
        lambda x: forward(x, convolve, tf.nn.relu, tf.add, head),
        input_signature=[tf.TensorSpec(channels_last[0].shape, tf.float32)],
    )
    concrete = [program.get_concrete_function()]
    converter = tf.lite.TFLiteConverter.from_concrete_functions(concrete, program)
    options = Options(
        hardware_accelerators=HardwareAccelerator.CPU, cpu_options=CpuOptions(num_threads=THREADS)
    )
    model = CompiledModel.from_buffer(converter.convert(), options=options)
    outputs = model.create_output_buffers(0)

    def placed(x):
        (buffer,) = model.create_input_buffers(0)
        buffer.write(x)
        return [buffer]

    inputs = [placed(x) for x in channels_last]
    return (partial(model.run_by_index, 0, x, outputs) for x in cycle(inputs)), int


def main() -> None:
    name, folder = sys.argv[1:3]
    images = np.load(Path(folder) / "train_images.npy")
    count = len(images) // BATCH
    batches = images[: count * BATCH].reshape(count, BATCH, *images.shape[1:])
    placed = [np.ascontiguousarray(x.transpose(0, 3, 1, 2)) for x in batches]
    steps, end = globals()[name](placed)
    for line in sys.stdin:
        start = perf_counter()
        for _ in range(int(line)):
            next(steps)()
        end()
        print(perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
