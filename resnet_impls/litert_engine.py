"""The ResNet as a LiteRT model, written by TensorFlow's converter: inference only, on XNNPACK.

At stride 2, "SAME" pads rows and columns at their end only, PyTorch at both ends. So `pad` comes
first there, as in `tensorflow_module`.
"""

import os
from collections.abc import Mapping
from itertools import cycle, islice

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from tensorflow import Tensor

from resnet_impls.architecture import BATCH_NORM_EPSILON, Architecture, Conv
from resnet_impls.architecture import Block as BlockPlan
from resnet_impls.weights import Weights

Constants = Mapping[str, np.ndarray]  # by canonical name; layouts are the same


def pad(x: Tensor, width: int) -> Tensor:
    """A border of zeros: (B, H, W, C) -> (B, H + 2 width, W + 2 width, C)."""
    return tf.pad(x, [[0, 0], [width, width], [width, width], [0, 0]])


def conv_bn(x: Tensor, conv: Conv, constants: Constants) -> Tensor:
    """A convolution and its batch norm: (B, H, W, C) -> (B, H', W', C')."""
    padding = "SAME"
    if conv.stride > 1 and conv.padding:
        x, padding = pad(x, conv.padding), "VALID"
    x = tf.nn.conv2d(x, constants[f"{conv.name}.kernel"], conv.stride, padding)
    leaves = ("mean", "variance", "bias", "scale")
    tensors = [constants[f"{conv.norm}.{leaf}"] for leaf in leaves]
    return tf.nn.batch_normalization(x, *tensors, BATCH_NORM_EPSILON)


def Block(x: Tensor, block: BlockPlan, constants: Constants) -> Tensor:
    """`relu(residual(x) + shortcut(x))`."""
    shortcut = conv_bn(x, block.shortcut, constants) if block.shortcut else x
    for conv in block.residual:
        x = conv_bn(x, conv, constants)
        if conv is not block.residual[-1]:
            x = tf.nn.relu(x)
    return tf.nn.relu(x + shortcut)


def ResNet(x: Tensor, architecture: Architecture, constants: Constants) -> Tensor:
    """Stem, stages, global average pool, dense head: (B, H, W, 3) -> logits (B, classes)."""
    x = tf.nn.relu(conv_bn(x, architecture.stem, constants))
    if architecture.max_pool:  # after the ReLU no value is below 0, so zeros change no maximum
        x = tf.nn.max_pool2d(pad(x, 1), 3, 2, "VALID")
    for blocks in architecture.stages:
        for block in blocks:
            x = Block(x, block, constants)
    x = tf.reduce_mean(x, [1, 2])  # (B, C)
    return tf.matmul(x, constants["head.kernel"]) + constants["head.bias"]


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
        tf.config.set_visible_devices([], "GPU")  # TensorFlow is here to write the model only
        self.architecture, self.constants = architecture, weights
        self.interpreters: dict[int, Interpreter] = {}  # by batch size

    def place(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.batches = cycle([x.copy() for x in images])

    def predict(self, images: np.ndarray) -> np.ndarray:
        return logits(self.run(images))

    def infer(self, steps: int) -> np.ndarray:
        for x in islice(self.batches, steps):
            interpreter = self.run(x)
        return logits(interpreter)

    def weights(self) -> Weights:
        # As given: the converter has folded the batch norms into the kernels
        return {name: value.copy() for name, value in self.constants.items()}

    def settings(self) -> dict[str, str]:
        details = next(iter(self.interpreters.values())).get_tensor_details()
        kinds = {np.dtype(each["dtype"]).name for each in details} - {"int32", "int64"}
        return {
            "threads": str(threads()),
            "interop_threads": "1",
            "layout": "channels_last/OHWI",
            "parameters": "float32",
            "computation": " ".join(sorted(kinds)),
            "jit": "litert",
            "engine": "CPU XNNPACK",
            "onednn": "",  # TensorFlow's, which computes nothing
        }

    def run(self, x: np.ndarray) -> Interpreter:
        """One forward pass of (B, H, W, 3), whose logits the interpreter then holds."""
        if len(x) not in self.interpreters:
            self.interpreters[len(x)] = self.interpreter(x.shape)
        interpreter = self.interpreters[len(x)]
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
        interpreter.invoke()
        return interpreter

    def interpreter(self, shape: tuple[int, ...]) -> Interpreter:
        """The network converted for batches of one shape."""
        forward = tf.function(
            lambda x: ResNet(x, self.architecture, self.constants),
            input_signature=[tf.TensorSpec(shape, tf.float32)],
            autograph=False,
        )
        program = forward.get_concrete_function()
        converter = tf.lite.TFLiteConverter.from_concrete_functions([program], forward)
        interpreter = Interpreter(model_content=converter.convert(), num_threads=threads())
        interpreter.allocate_tensors()
        return interpreter


def logits(interpreter: Interpreter) -> np.ndarray:
    """A copy of what the last forward pass put out: (B, classes)."""
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def threads() -> int:
    """What the process was told of its threads, or else the CPUs that it may use."""
    if told := os.environ.get("OMP_NUM_THREADS"):
        return int(told)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
