"""Opt-in: the article's Keras model, as a learner writes it, with Keras' own defaults.

Its counterpart is `article_torch`, which the article takes for the same network. It is not:
`resnet-bench certify --impl article_keras` says where they differ.
"""

from itertools import cycle, islice

import keras
import numpy as np
from keras import layers, ops
from keras.src.backend.common.dtypes import BIT64_TO_BIT32_DTYPE

from resnet_impls.architecture import Architecture, Conv
from resnet_impls.architecture import Block as BlockPlan
from resnet_impls.keras_loops import fit, predict
from resnet_impls.weights import Weights

# Canonical leaf name of a batch norm -> the variable's name in Keras; others have one name.
LEAVES = {
    "scale": "gamma",
    "bias": "beta",
    "mean": "moving_mean",
    "variance": "moving_variance",
}


def layer_name(path: str) -> str:
    """Keras' name of a layer; a dot is not allowed there on the PyTorch backend."""
    return path.replace(".", "_")


def keras_name(name: str) -> str:
    """Keras' path to a variable: `stem.bn.scale` is `stem_bn/gamma`; layouts are the same."""
    path, _, leaf = name.rpartition(".")
    norm = path.rpartition(".")[2].startswith("bn")
    return f"{layer_name(path)}/{LEAVES[leaf] if norm else leaf}"


def conv_bn(x, conv: Conv):
    """A convolution, with its bias, and its batch norm: (B, H, W, C) -> (B, H', W', C')."""
    x = layers.Conv2D(
        conv.outputs, 3, strides=conv.stride, padding="same", name=layer_name(conv.name)
    )(x)
    return layers.BatchNormalization(name=layer_name(conv.norm))(x)


def Block(x, block: BlockPlan):
    """`relu(residual(x) + shortcut(x))`."""
    conv1, conv2 = block.residual
    shortcut = conv_bn(x, block.shortcut) if block.shortcut else x
    x = layers.ReLU()(conv_bn(x, conv1))
    x = conv_bn(x, conv2)
    return layers.ReLU()(layers.Add()([x, shortcut]))


def ResNet(architecture: Architecture) -> keras.Model:
    """Stem, stages, pool, dense head: (B, H, W, 3) -> probabilities (B, classes)."""
    inputs = layers.Input((architecture.image_size, architecture.image_size, 3))
    x = layers.ReLU()(conv_bn(inputs, architecture.stem))
    for blocks in architecture.stages:
        for block in blocks:
            x = Block(x, block)
    x = layers.GlobalAveragePooling2D()(x)  # (B, C)
    outputs = layers.Dense(architecture.classes, activation="softmax", name="head")(x)
    return keras.Model(inputs, outputs)


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
        if precision == "fp64":
            keras.config.set_floatx("float64")
            BIT64_TO_BIT32_DTYPE["float64"] = "float64"  # else batch norms would drop to float32
        self.classes = architecture.classes
        self.model = ResNet(architecture)
        # canonical names of all that Keras has, the convolutions' biases included
        biases = [f"{conv.name}.bias" for conv in architecture.convs]
        names = {keras_name(name): name for name in (*weights, *biases)}
        # the end of a path is unique: .../stage1_block1_residual_conv1/kernel
        paths = {"/".join(v.path.split("/")[-2:]): v for v in self.model.variables}
        self.variables = {names.get(path, path): variable for path, variable in paths.items()}
        for name, value in weights.items():
            self.variables[name].assign(value)

        if optimizer == "adam":
            # np.float64: TensorFlow rounds a Python float to float32 on its way to float64
            rule = keras.optimizers.Adam(learning_rate, np.float64(0.9), np.float64(0.999))
        else:
            rule = keras.optimizers.SGD(learning_rate, momentum=np.float64(0.9))
        self.model.compile(
            optimizer=rule, loss="categorical_crossentropy", jit_compile=mode == "compiled"
        )

    def set_learning_rate(self, rate: float) -> None:
        self.model.optimizer.learning_rate = rate

    def place(self, images: np.ndarray, labels: np.ndarray) -> None:
        one_hot = np.eye(self.classes)[labels]  # (K, B, classes)
        to_tensor, floatx = ops.convert_to_tensor, keras.config.floatx()
        pairs = zip(images, one_hot, strict=True)
        batches = [(to_tensor(x, floatx), to_tensor(y, floatx)) for x, y in pairs]
        if keras.backend.backend() == "jax":
            import jax

            jax.block_until_ready(batches)
        self.batches = cycle(batches)

    def train(self, steps: int) -> np.ndarray:
        return fit(self.model, islice(self.batches, steps))

    def predict(self, images: np.ndarray) -> np.ndarray:
        return np.asarray(self.model.predict_on_batch(images))

    def infer(self, steps: int) -> np.ndarray:
        return predict(self.model, (images for images, _ in islice(self.batches, steps)))

    def weights(self) -> Weights:
        return {
            name: ops.convert_to_numpy(variable).copy() for name, variable in self.variables.items()
        }

    def settings(self) -> dict[str, str]:
        return {
            "layout": f"{keras.config.image_data_format()}/HWIO",
            "parameters": self.model.trainable_variables[0].dtype,
            "computation": self.model.compute_dtype,
            "optimizer": type(self.model.optimizer).__name__,
        }
