"""The ResNet as a subclass of `keras.Model`, on the TensorFlow, JAX and PyTorch backends.

Three of Keras' own choices differ from the canonical ones, and are brought in line: padding of
strided convolutions, the running variance, Adam's epsilon.

At stride 2, "same" pads rows and columns at their end only, PyTorch at both ends. So a
`ZeroPadding2D` comes first there.
"""

from itertools import cycle, islice
from math import prod

import keras
import numpy as np
from keras import layers, ops
from keras.src.backend.common.dtypes import BIT64_TO_BIT32_DTYPE

from resnet_impls.architecture import BATCH_NORM_EPSILON, BATCH_NORM_MOMENTUM, Architecture, Conv
from resnet_impls.architecture import Block as BlockPlan
from resnet_impls.keras_loops import fit, predict, set_up, to_labels
from resnet_impls.keras_optimizers import optimizer_of, set_learning_rate
from resnet_impls.weights import Weights

LEAVES = {  # canonical leaf name -> the variable's name in Keras; layouts are the same
    "kernel": "kernel",
    "scale": "gamma",
    "bias": "beta",
    "mean": "moving_mean",
    "variance": "moving_variance",
}

POLICIES = {"bf16": "mixed_bfloat16", "fp16": "mixed_float16", "fp64": "float64"}


def layer_name(path: str) -> str:
    """Keras' name of a layer; a dot is not allowed there on the PyTorch backend."""
    return path.replace(".", "_")


def keras_name(name: str) -> str:
    """Keras' path to a variable: `stem.bn.scale` is `stem_bn/gamma`; layouts are the same."""
    path, _, leaf = name.rpartition(".")
    return f"{layer_name(path)}/{leaf if path == 'head' else LEAVES[leaf]}"


class BatchNormalization(layers.BatchNormalization):
    """Batch norm whose running variance is the unbiased one; Keras' own divides by n, not n - 1."""

    def call(self, inputs, training=None, mask=None):
        if not training:
            return super().call(inputs, training=False)
        before = self.momentum * self.moving_variance.value
        outputs = super().call(inputs, training=True)
        after = self.moving_variance.value
        count = prod(inputs.shape[:-1])  # of the values that a channel's variance is taken of
        self.moving_variance.assign(after + (after - before) / (count - 1))
        return outputs


def conv_bn(conv: Conv) -> list[layers.Layer]:
    """A convolution and its batch norm: (B, H, W, C) -> (B, H', W', C')."""
    pad, padding = [], "same"
    if conv.stride > 1 and conv.padding:
        pad, padding = [layers.ZeroPadding2D(conv.padding)], "valid"
    # kernels begin as zeros: to draw them, JAX would compile for each shape
    options = {"use_bias": False, "kernel_initializer": "zeros", "name": layer_name(conv.name)}
    convolution = layers.Conv2D(conv.outputs, conv.kernel, conv.stride, padding, **options)
    norm = BatchNormalization(
        momentum=1 - BATCH_NORM_MOMENTUM, epsilon=BATCH_NORM_EPSILON, name=layer_name(conv.norm)
    )
    return [*pad, convolution, norm]


class Block(layers.Layer):
    """`relu(residual(x) + shortcut(x))`."""

    def __init__(self, block: BlockPlan) -> None:
        super().__init__(name=layer_name(block.name))
        first, *others = block.residual
        self.residual = conv_bn(first)
        for conv in others:
            self.residual += [layers.ReLU(), *conv_bn(conv)]
        self.shortcut = conv_bn(block.shortcut) if block.shortcut else []

    def call(self, x):  # (B, H, W, C) -> (B, H', W', C')
        shortcut = x
        for layer in self.shortcut:
            shortcut = layer(shortcut)
        for layer in self.residual:
            x = layer(x)
        return ops.relu(x + shortcut)


class ResNet(keras.Model):
    """Stem, stages, global average pool, dense head: (B, H, W, 3) -> logits (B, classes)."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.stem = [*conv_bn(architecture.stem), layers.ReLU()]
        if architecture.max_pool:  # after the ReLU no value is below 0, so zeros change no maximum
            self.stem += [layers.ZeroPadding2D(1), layers.MaxPooling2D(3, 2)]
        self.blocks = [Block(block) for blocks in architecture.stages for block in blocks]
        self.pool = layers.GlobalAveragePooling2D()  # (B, C)
        classes, floatx = architecture.classes, keras.backend.floatx()
        self.head = layers.Dense(classes, kernel_initializer="zeros", dtype=floatx, name="head")

    def call(self, x, training=None):
        for layer in (*self.stem, *self.blocks, self.pool):
            x = layer(x, training=training)  # on JAX, a model's own layers learn it in no other way
        return self.head(x)


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
        weight_decay: float = 0.0,
        label_smoothing: float = 0.0,
        learning_rates: np.ndarray | None = None,
    ) -> None:
        if precision == "fp64":
            keras.config.set_floatx("float64")
            BIT64_TO_BIT32_DTYPE["float64"] = "float64"  # else batch norms would drop to float32
        keras.config.set_dtype_policy(POLICIES.get(precision, "float32"))
        set_up(precision)
        self.model = ResNet(architecture)
        # variables exist once the model has seen a shape
        self.model(layers.Input((architecture.image_size, architecture.image_size, 3)))
        # the end of a path is unique: .../stage1_block1_residual_conv1/kernel
        self.variables = {"/".join(v.path.split("/")[-2:]): v for v in self.model.variables}
        self.names = {keras_name(name): name for name in weights}
        for path, name in self.names.items():
            self.variables[path].assign(weights[name])

        rule = optimizer_of(optimizer, learning_rate, weight_decay, learning_rates)
        self.rule = rule  # which may be wrapped
        if precision == "fp16":  # from a scale that skips no step, and that never grows
            rule = keras.optimizers.LossScaleOptimizer(rule, 2.0**10, dynamic_growth_steps=10**6)
        self.classes = architecture.classes if label_smoothing else None  # of one-hot labels
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        if label_smoothing:
            options = {"from_logits": True, "label_smoothing": label_smoothing}
            loss = keras.losses.CategoricalCrossentropy(**options)
        self.model.compile(rule, loss, jit_compile=mode == "compiled")

    def place(self, images: np.ndarray, labels: np.ndarray) -> None:
        to_tensor, floatx = ops.convert_to_tensor, keras.config.floatx()
        pairs = zip(images, labels, strict=True)
        batches = [(to_tensor(x.copy(), floatx), to_labels(y, self.classes)) for x, y in pairs]
        if keras.backend.backend() == "jax":
            import jax

            jax.block_until_ready(batches)
        self.batches = cycle(batches)

    def set_learning_rate(self, rate: float) -> None:
        set_learning_rate(self.rule, rate)

    def train(self, steps: int) -> np.ndarray:
        return fit(self.model, islice(self.batches, steps))

    def predict(self, images: np.ndarray) -> np.ndarray:
        return np.asarray(self.model.predict_on_batch(images))

    def infer(self, steps: int) -> np.ndarray:
        return predict(self.model, (images for images, _ in islice(self.batches, steps)))

    def weights(self) -> Weights:
        arrays = {path: ops.convert_to_numpy(v).copy() for path, v in self.variables.items()}
        return {self.names.get(path, path): array for path, array in arrays.items()}

    def settings(self) -> dict[str, str]:
        found = {"layout": f"{keras.config.image_data_format()}/HWIO"}
        found |= {"parameters": self.variables["stem_bn/gamma"].dtype}
        found |= {"computation": self.model.compute_dtype, "optimizer": type(self.rule).__name__}
        scaled = self.model.optimizer
        if scaled is not self.rule and scaled.built:  # each halving of the scale is a step left out
            scale = float(ops.convert_to_numpy(scaled.dynamic_scale))
            found["skipped_steps"] = f"{np.log2(scaled.initial_scale / scale):.0f}"
        return found
