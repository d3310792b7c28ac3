"""The ResNet as an ONNX graph that ONNX Runtime optimises and runs: inference only, IO binding."""

import os
from copy import copy
from itertools import count, cycle, islice
from typing import Self

import numpy as np
import onnxruntime as ort
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from resnet_impls.architecture import BATCH_NORM_EPSILON, Architecture, Conv
from resnet_impls.architecture import Block as BlockPlan
from resnet_impls.devices import DEVICES
from resnet_impls.weights import Weights

OPSET, IR_VERSION = 20, 9  # of January 2024: read by ONNX Runtime from 1.17 on

# Kernels are HWIO here and OIHW in ONNX; the dense one is (in, out) in both.
TO_ONNX = {4: (3, 2, 0, 1), 2: (0, 1), 1: (0,)}
FROM_ONNX = {4: (2, 3, 1, 0), 2: (0, 1), 1: (0,)}


NO_GRAPH = -1


class Graph:
    """Nodes in their order; a tensor is known by its name, that of a layer by the layer's."""

    def __init__(self, computation: int) -> None:
        self.computation = computation  # a type of TensorProto
        self.nodes: list[NodeProto] = []

    def add(self, operator: str, name: str, *inputs: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def weight(self, name: str) -> str:
        """A tensor of weights in the type of the computation; the engine folds the cast away."""
        if self.computation == TensorProto.FLOAT:
            return name
        return self.add("Cast", f"{name}.cast", name, to=self.computation)


def conv_bn(graph: Graph, x: str, conv: Conv) -> str:
    """A convolution and its batch norm: (B, C, H, W) -> (B, C', H', W')."""
    kernel = graph.weight(f"{conv.name}.kernel")
    pads, strides = [conv.padding] * 4, [conv.stride] * 2
    x = graph.add("Conv", conv.name, x, kernel, pads=pads, strides=strides)
    leaves = ("scale", "bias", "mean", "variance")
    tensors = [graph.weight(f"{conv.norm}.{leaf}") for leaf in leaves]
    return graph.add("BatchNormalization", conv.norm, x, *tensors, epsilon=BATCH_NORM_EPSILON)


def Block(graph: Graph, x: str, block: BlockPlan) -> str:
    """`relu(residual(x) + shortcut(x))`."""
    shortcut = conv_bn(graph, x, block.shortcut) if block.shortcut else x
    for index, conv in enumerate(block.residual, start=1):
        x = conv_bn(graph, x, conv)
        if conv is not block.residual[-1]:
            x = graph.add("Relu", f"{block.name}.residual.relu{index}", x)
    x = graph.add("Add", f"{block.name}.add", x, shortcut)
    return graph.add("Relu", f"{block.name}.relu", x)


def ResNet(architecture: Architecture, weights: Weights, computation: int) -> ModelProto:
    """Stem, stages, global average pool, dense head: (B, 3, H, W) -> logits (B, classes)."""
    graph = Graph(computation)
    x = graph.add("Relu", "stem.relu", conv_bn(graph, "images", architecture.stem))
    if architecture.max_pool:
        options = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4}
        x = graph.add("MaxPool", "stem.pool", x, **options)
    for blocks in architecture.stages:
        for block in blocks:
            x = Block(graph, x, block)
    x = graph.add("GlobalAveragePool", "pool", x)  # (B, C, 1, 1)
    x = graph.add("Flatten", "flatten", x)  # (B, C)
    graph.add("Gemm", "logits", x, graph.weight("head.kernel"), graph.weight("head.bias"))
    shapes = {
        "images": ["B", 3, architecture.image_size, architecture.image_size],
        "logits": ["B", architecture.classes],
    }
    images, logits = (
        helper.make_tensor_value_info(name, computation, shape) for name, shape in shapes.items()
    )
    tensors = [
        numpy_helper.from_array(np.ascontiguousarray(value.transpose(TO_ONNX[value.ndim])), name)
        for name, value in weights.items()
    ]
    return helper.make_model(
        helper.make_graph(graph.nodes, architecture.name, [images], [logits], tensors),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )


class Implementation:
    provider: str | None = None  # of its own; None: the device's

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
        provider = self.provider or str(DEVICES[device].onnxruntime)
        if provider not in ort.get_available_providers():
            raise ImportError(f"this ONNX Runtime has no {provider}: install onnxruntime-gpu")
        if device == "cpu" and precision != "fp32":
            raise NotImplementedError(
                f"ONNX Runtime's kernels for the CPU compute {precision} in float32"
            )
        self.device = "cpu" if device == "cpu" else "cuda"  # so it calls every GPU
        half = precision == "fp16"
        self.dtype = np.float16 if half else np.float32
        self.classes = architecture.classes
        self.model = ResNet(
            architecture, weights, TensorProto.FLOAT16 if half else TensorProto.FLOAT
        )
        if device == "cuda" and hasattr(ort, "preload_dlls"):
            ort.preload_dlls()  # CUDA's libraries as packages of Python bring them
        self.graphed, self.graphs = mode == "cuda-graph-compiled", count(1)
        wanted = self.provider_options(precision) if device == "cuda" else {}
        self.providers = [(provider, wanted)]
        self.session = self.started(threads())
        if self.session.get_providers()[0] != provider:
            raise ImportError(f"this ONNX Runtime finds no {device} device")

    def started(self, threads: int) -> ort.InferenceSession:
        options = ort.SessionOptions()  # one operation after another
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.intra_op_num_threads = threads
        # threads that spin wait for the next operation on a processor that another could use
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return ort.InferenceSession(
            self.model.SerializeToString(), options, providers=self.providers
        )

    def provider_options(self, precision: str) -> dict[str, str]:
        """Of CUDA's provider. Its tensor cores take NHWC, to which it turns whatever comes."""
        return {
            "use_tf32": str(int(precision == "tf32")),
            "prefer_nhwc": str(int(precision != "fp32")),
            "enable_cuda_graph": str(int(self.graphed)),
        }

    def place(self, images: np.ndarray, labels: np.ndarray) -> None:
        # a graph reads where it read when it was captured, so each batch ever placed has its own
        numbered = ((self.bound(x), next(self.graphs)) for x in images)
        bound = [(x, [run_options(graph, wait) for wait in (False, True)]) for x, graph in numbered]
        self.batches = cycle(bound)

    def predict(self, images: np.ndarray) -> np.ndarray:
        binding, *_ = self.bound(images)
        self.session.run_with_iobinding(binding, run_options(NO_GRAPH, wait=True))
        return binding.get_outputs()[0].numpy().astype(np.float32)

    def infer(self, steps: int) -> np.ndarray:
        for step, ((binding, *_), options) in enumerate(islice(self.batches, steps), start=1):
            # the last returns when the device is idle, which does them in turn
            self.session.run_with_iobinding(binding, options[step == steps])
        return binding.get_outputs()[0].numpy().astype(np.float32)

    def streams(self, count: int) -> list[Self]:
        callers = [copy(self) for _ in range(count)]
        for caller in callers:
            caller.session = self.started(max(1, threads() // count))
        return callers

    def weights(self) -> Weights:
        tensors = {t.name: numpy_helper.to_array(t) for t in self.model.graph.initializer}
        return {name: x.transpose(FROM_ONNX[x.ndim]).copy() for name, x in tensors.items()}

    def settings(self) -> dict[str, str]:
        options, provider = self.session.get_session_options(), self.session.get_providers()[0]
        found = {
            "threads": str(options.intra_op_num_threads),
            "interop_threads": str(options.inter_op_num_threads or 1),
            "layout": "channels_first/OIHW",
            "parameters": "float32",
            "computation": np.dtype(self.dtype).name,
            "jit": "onnxruntime",
            "engine": f"{provider} {options.graph_optimization_level.name}",
        }
        if provider == "CUDAExecutionProvider":
            tf32 = self.session.get_provider_options()[provider].get("use_tf32") == "1"
            found |= dict.fromkeys(("tf32_convolution", "tf32_matmul"), "on" if tf32 else "off")
        return found

    def bound(self, images: np.ndarray) -> tuple[ort.IOBinding, ort.OrtValue, ort.OrtValue]:
        """(B, H, W, 3) on the host -> (B, 3, H, W) on the device, bound with room for logits.

        The binding need not keep what it binds, which on a CPU is memory of NumPy's.
        """
        x = np.ascontiguousarray(images.transpose(0, 3, 1, 2), self.dtype)
        logits = np.empty((len(x), self.classes), self.dtype)
        inputs, outputs = (
            ort.OrtValue.ortvalue_from_numpy(array, self.device, 0) for array in (x, logits)
        )
        binding = self.session.io_binding()
        binding.bind_ortvalue_input("images", inputs)
        binding.bind_ortvalue_output("logits", outputs)
        return binding, inputs, outputs


def run_options(graph: int, wait: bool) -> ort.RunOptions:
    """Of a run by the graph of that number, if there are graphs, that waits for a GPU or not."""
    options = ort.RunOptions()
    options.add_run_config_entry("gpu_graph_id", str(graph))
    options.add_run_config_entry("disable_synchronize_execution_providers", str(int(not wait)))
    return options


def threads() -> int:
    """What the process was told of its threads, or else the CPUs that it may use."""
    if told := os.environ.get("OMP_NUM_THREADS"):
        return int(told)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
