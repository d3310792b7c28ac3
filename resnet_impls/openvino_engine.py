"""The ResNet in OpenVINO's own operations, compiled for the CPU: inference only."""

import os
from copy import copy
from itertools import cycle, islice
from threading import Lock
from typing import Self

import numpy as np
import openvino as ov
import openvino.opset13 as ops

from resnet_impls.architecture import BATCH_NORM_EPSILON, Architecture, Conv
from resnet_impls.architecture import Block as BlockPlan
from resnet_impls.weights import Weights

# Kernels are HWIO here and OIHW in OpenVINO; the dense one is (in, out) in both.
TO_OPENVINO = {4: (3, 2, 0, 1), 2: (0, 1), 1: (0,)}
FROM_OPENVINO = {4: (2, 3, 1, 0), 2: (0, 1), 1: (0,)}

HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
DTYPES = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}

Constants = dict[str, ov.Node]  # by canonical name


def conv_bn(x: ov.Node, conv: Conv, constants: Constants) -> ov.Node:
    """A convolution and its batch norm: (B, C, H, W) -> (B, C', H', W')."""
    pads, strides = [conv.padding] * 2, [conv.stride] * 2
    x = ops.convolution(x, constants[f"{conv.name}.kernel"], strides, pads, pads, [1, 1])
    leaves = ("scale", "bias", "mean", "variance")
    tensors = [constants[f"{conv.norm}.{leaf}"] for leaf in leaves]
    return ops.batch_norm_inference(x, *tensors, epsilon=BATCH_NORM_EPSILON)


def Block(x: ov.Node, block: BlockPlan, constants: Constants) -> ov.Node:
    """`relu(residual(x) + shortcut(x))`."""
    shortcut = conv_bn(x, block.shortcut, constants) if block.shortcut else x
    for conv in block.residual:
        x = conv_bn(x, conv, constants)
        if conv is not block.residual[-1]:
            x = ops.relu(x)
    return ops.relu(ops.add(x, shortcut))


def ResNet(architecture: Architecture, weights: Weights) -> ov.Model:
    """Stem, stages, global average pool, dense head: (B, 3, H, W) -> logits (B, classes)."""
    constants = {}
    for name, value in weights.items():
        constants[name] = ops.constant(value.transpose(TO_OPENVINO[value.ndim]).copy())
        constants[name].set_friendly_name(name)
    size = architecture.image_size
    images = ops.parameter([-1, 3, size, size], np.float32, "images")
    x = ops.relu(conv_bn(images, architecture.stem, constants))
    if architecture.max_pool:
        x = ops.max_pool(x, [2, 2], [1, 1], [1, 1], [1, 1], [3, 3]).output(0)
    for blocks in architecture.stages:
        for block in blocks:
            x = Block(x, block, constants)
    x = ops.reduce_mean(x, np.array([2, 3]))  # (B, C)
    x = ops.matmul(x, constants["head.kernel"], False, False)
    return ov.Model([ops.add(x, constants["head.bias"])], [images], architecture.name)


class Implementation:
    def __init__(
        self,
        architecture: Architecture,
        weights: Weights,
        *,
        device: str,
        precision: str,
        mode: str,
        optimizer: str,
        learning_rate: float,
    ) -> None:
        self.core = ov.Core()
        known = self.core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision.upper() not in known:
            raise NotImplementedError(
                f"OpenVINO computes in no {precision} on this processor, only {', '.join(known)}"
            )
        self.model = ResNet(architecture, weights)
        self.options = {
            "INFERENCE_PRECISION_HINT": HINTS[precision],
            "PERFORMANCE_HINT": "LATENCY",  # all threads to one batch, and then to the next
            "INFERENCE_NUM_THREADS": threads(),
        }
        self.compiled: dict[int, ov.CompiledModel] = {}  # by batch size
        self.requests: dict[int, ov.InferRequest] = {}
        self.compiling = Lock()

    def place(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.batches = cycle([self.to_device(x) for x in images])

    def predict(self, images: np.ndarray) -> np.ndarray:
        request = self.request(len(images))
        request.set_input_tensor(self.to_device(images))
        request.infer()
        return request.get_output_tensor().data.copy()

    def infer(self, steps: int) -> np.ndarray:
        for x in islice(self.batches, steps):
            request = self.request(x.shape[0])
            request.set_input_tensor(x)
            request.infer(share_outputs=True)
        return request.get_output_tensor().data.copy()

    def streams(self, count: int) -> list[Self]:
        hints = {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": count}
        callers = [copy(self) for _ in range(count)]
        shared: dict[int, ov.CompiledModel] = {}
        for caller in callers:
            caller.options, caller.compiled, caller.requests = self.options | hints, shared, {}
        return callers

    def weights(self) -> Weights:
        tensors = {
            node.get_friendly_name(): node.data
            for node in self.model.get_ops()
            if node.get_type_name() == "Constant" and "." in node.get_friendly_name()
        }
        return {name: x.transpose(FROM_OPENVINO[x.ndim]).copy() for name, x in tensors.items()}

    def settings(self) -> dict[str, str]:
        compiled = next(iter(self.compiled.values()))
        streams = compiled.get_property("NUM_STREAMS")
        return {
            "threads": str(compiled.get_property("INFERENCE_NUM_THREADS") // streams),
            "interop_threads": str(streams),
            "layout": "channels_first/OIHW",
            "parameters": "float32",
            "computation": DTYPES[compiled.get_property("INFERENCE_PRECISION_HINT").to_string()],
            "jit": "openvino",
            "engine": f"CPU {compiled.get_property('PERFORMANCE_HINT')}",
        }

    def request(self, size: int) -> ov.InferRequest:
        """A request to the network compiled for batches of `size`; a fixed size is faster."""
        if size not in self.requests:
            with self.compiling:  # once for all streams
                if size not in self.compiled:
                    model = self.model.clone()
                    model.reshape([size, *model.input().partial_shape[1:]])
                    self.compiled[size] = self.core.compile_model(model, "CPU", self.options)
            self.requests[size] = self.compiled[size].create_infer_request()
        return self.requests[size]

    def to_device(self, images: np.ndarray) -> ov.Tensor:
        """(B, H, W, 3) -> (B, 3, H, W), in memory of the engine's own, which it need not copy."""
        x = images.transpose(0, 3, 1, 2)
        tensor = ov.Tensor(ov.Type.f32, ov.Shape(x.shape))
        tensor.data[:] = x
        return tensor


def threads() -> int:
    """What the process was told of its threads, or else the CPUs that it may use."""
    if told := os.environ.get("OMP_NUM_THREADS"):
        return int(told)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
