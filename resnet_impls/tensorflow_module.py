"""The ResNet as a TensorFlow `tf.Module`: fused batch norms and updates, `tf.function`, XLA.

The loops over steps are part of the graph, since to call each takes up to a millisecond or two.

Images are (B, H, W, C): on a GPU, Grappler and XLA choose the layout themselves. At stride 2,
"SAME" pads rows and columns at their end only, PyTorch at both ends. So `pad` comes first there.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, cycle, islice, repeat

import numpy as np
import tensorflow as tf
from tensorflow import Tensor, Variable

from resnet_impls.architecture import BATCH_NORM_EPSILON, BATCH_NORM_MOMENTUM, Architecture, Conv
from resnet_impls.architecture import Block as BlockPlan
from resnet_impls.weights import Weights

LOSS_SCALE = 2.0**10  # of fp16, and static: an overflow is no step left out but a loss of nan
Variables = Mapping[str, Variable]  # by canonical name; layouts are the same
Norm = Callable[[Tensor, str, Variables, bool], Tensor]  # `batch_norm`, or another


def pad(x: Tensor, width: int) -> Tensor:
    """A border of zeros: (B, H, W, C) -> (B, H + 2 width, W + 2 width, C)."""
    return tf.pad(x, [[0, 0], [width, width], [width, width], [0, 0]])


def batch_norm(x: Tensor, name: str, variables: Variables, training: bool) -> Tensor:
    """TensorFlow's fused batch norm, whose running variance is unbiased: (B, H, W, C) as it was."""
    leaves = ("scale", "bias", "mean", "variance")
    scale, bias, mean, variance = tensors = [variables[f"{name}.{leaf}"] for leaf in leaves]
    if x.dtype != tf.float64:  # of which the fused kernels know nothing
        options = {"epsilon": BATCH_NORM_EPSILON, "exponential_avg_factor": BATCH_NORM_MOMENTUM}
        x, *running = tf.compat.v1.nn.fused_batch_norm(x, *tensors, is_training=training, **options)
        if training:
            mean.assign(running[0])
            variance.assign(running[1])
        return x
    if training:
        mean_now, variance_now = tf.nn.moments(x, [0, 1, 2])
        count = tf.cast(tf.size(x) / tf.size(mean), x.dtype)
        unbiased = variance_now * count / (count - 1)
        mean.assign_add(BATCH_NORM_MOMENTUM * (mean_now - mean))
        variance.assign_add(BATCH_NORM_MOMENTUM * (unbiased - variance))
        mean, variance = mean_now, variance_now
    return tf.nn.batch_normalization(x, mean, variance, bias, scale, BATCH_NORM_EPSILON)


def conv_bn(x: Tensor, conv: Conv, variables: Variables, training: bool, norm: Norm) -> Tensor:
    """A convolution and its batch norm: (B, H, W, C) -> (B, H', W', C')."""
    padding = "SAME"  # at stride 1 it pads both ends, and takes a CPU less time than `pad`
    if conv.stride > 1 and conv.padding:
        x, padding = pad(x, conv.padding), "VALID"
    kernel = tf.cast(variables[f"{conv.name}.kernel"], x.dtype)
    x = tf.nn.conv2d(x, kernel, conv.stride, padding)
    return norm(x, conv.norm, variables, training)


def Block(x: Tensor, block: BlockPlan, variables: Variables, training: bool, norm: Norm) -> Tensor:
    """`relu(residual(x) + shortcut(x))`."""
    shortcut = conv_bn(x, block.shortcut, variables, training, norm) if block.shortcut else x
    for conv in block.residual:
        x = conv_bn(x, conv, variables, training, norm)
        if conv is not block.residual[-1]:
            x = tf.nn.relu(x)
    return tf.nn.relu(x + shortcut)


class ResNet(tf.Module):
    """Stem, stages, global average pool, dense head: (B, H, W, 3) -> logits (B, classes)."""

    def __init__(
        self, architecture: Architecture, weights: Weights, norm: Norm = batch_norm
    ) -> None:
        super().__init__()
        self.architecture, self.norm = architecture, norm
        self.tensors = {
            name: Variable(value, trainable=name in architecture.parameters, name=name)
            for name, value in weights.items()
        }

    def __call__(self, x: Tensor, training: bool) -> Tensor:
        given = (self.tensors, training, self.norm)
        x = tf.nn.relu(conv_bn(x, self.architecture.stem, *given))
        if (
            self.architecture.max_pool
        ):  # after the ReLU no value is below 0, so zeros change no maximum
            x = tf.nn.max_pool2d(pad(x, 1), 3, 2, "VALID")
        for blocks in self.architecture.stages:
            for block in blocks:
                x = Block(x, block, *given)
        kernel, bias = self.tensors["head.kernel"], self.tensors["head.bias"]
        x = tf.reduce_mean(tf.cast(x, kernel.dtype), [1, 2])  # (B, C)
        return tf.matmul(x, kernel) + bias


def cross_entropy(labels: Tensor, logits: Tensor, smoothing: float) -> Tensor:
    """(B,), (B, classes) -> losses (B,)."""
    if not smoothing:
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    classes = logits.shape[-1]
    target = tf.one_hot(labels, classes, 1 - smoothing, 0.0, dtype=logits.dtype)
    return tf.nn.softmax_cross_entropy_with_logits(target + smoothing / classes, logits)


class Adam(tf.Module):
    """Adam by TensorFlow's fused update, with epsilon after the bias correction."""

    def __init__(self, variables: Sequence[Variable], learning_rate: float) -> None:
        super().__init__()
        self.slots = [(v, *(Variable(tf.zeros_like(v)) for _ in range(2))) for v in variables]
        self.step = Variable(0, dtype=variables[0].dtype)
        self.learning_rate = Variable(learning_rate, dtype=variables[0].dtype)

    def apply(self, gradients: Sequence[Tensor]) -> None:
        step = self.step.assign_add(1)
        powers = {"beta1_power": 0.9**step, "beta2_power": 0.999**step}
        epsilon = 1e-8 * tf.sqrt(1 - powers["beta2_power"])  # added after the bias correction
        rates = powers | {"lr": self.learning_rate, "beta1": 0.9, "beta2": 0.999}
        for (v, m, square), gradient in zip(self.slots, gradients, strict=True):
            handles = {"var": v.handle, "m": m.handle, "v": square.handle}
            tf.raw_ops.ResourceApplyAdam(**handles, grad=gradient, epsilon=epsilon, **rates)


class AdamW(Adam):
    """Adam whose kernels decay by the learning rate times the weight decay before each update."""

    def __init__(
        self, variables: Sequence[Variable], learning_rate: float, weight_decay: float
    ) -> None:
        super().__init__(variables, learning_rate)
        self.kernels = [v for v in variables if len(v.shape) > 1]
        self.weight_decay = weight_decay

    def apply(self, gradients: Sequence[Tensor]) -> None:
        for kernel in self.kernels:
            kernel.assign_sub(self.learning_rate * self.weight_decay * kernel)
        super().apply(gradients)


class SGD(tf.Module):
    """SGD by TensorFlow's fused update: b = 0.9 b + g, then v = v - learning_rate b.

    The decay of a kernel is a part of its gradient g.
    """

    def __init__(
        self, variables: Sequence[Variable], learning_rate: float, weight_decay: float
    ) -> None:
        super().__init__()
        self.slots = [(v, Variable(tf.zeros_like(v))) for v in variables]
        self.learning_rate = Variable(learning_rate, dtype=variables[0].dtype)
        self.weight_decay = weight_decay

    def apply(self, gradients: Sequence[Tensor]) -> None:
        rates = {"lr": self.learning_rate, "momentum": 0.9}
        for (v, b), gradient in zip(self.slots, gradients, strict=True):
            if self.weight_decay and len(v.shape) > 1:
                gradient += self.weight_decay * v
            tf.raw_ops.ResourceApplyMomentum(var=v.handle, accum=b.handle, grad=gradient, **rates)


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
        gpus = tf.config.list_physical_devices("GPU") if device != "cpu" else []
        if device != "cpu" and not gpus:
            raise ImportError(f"this TensorFlow finds no {device} device")
        tf.config.set_visible_devices(gpus[:1], "GPU")  # operations go there by themselves
        tf.config.experimental.enable_tensor_float_32_execution(precision == "tf32")
        self.dtype = tf.float64 if precision == "fp64" else tf.float32
        self.compute_dtype = {"bf16": tf.bfloat16, "fp16": tf.float16}.get(precision, self.dtype)
        scale = LOSS_SCALE if precision == "fp16" else None

        self.model = ResNet(architecture, weights)
        variables = self.model.trainable_variables
        self.rule: Adam | SGD
        if optimizer == "adam":
            self.rule = Adam(variables, learning_rate)
        else:
            rule = AdamW if optimizer == "adamw" else SGD
            self.rule = rule(variables, learning_rate, weight_decay)
        self.rates: Iterator[float] | None = None  # of the steps to come, where there is a schedule
        if learning_rates is not None:
            self.rates = chain(learning_rates.tolist(), repeat(float(learning_rates[-1])))
        options = {"jit_compile": mode == "compiled", "autograph": False}  # nothing to convert

        @tf.function(**options)
        def train_step(images: Tensor, labels: Tensor) -> Tensor:
            with tf.GradientTape() as tape:
                logits = self.model(tf.cast(images, self.compute_dtype), training=True)
                loss = tf.reduce_mean(cross_entropy(labels, logits, label_smoothing))
            gradients = tape.gradient(loss, variables, scale)
            self.rule.apply([g / scale for g in gradients] if scale else gradients)
            return loss

        @tf.function(**options)
        def forward(images: Tensor) -> Tensor:
            return self.model(tf.cast(images, self.compute_dtype), training=False)

        loop = {"fn_output_signature": self.dtype, "parallel_iterations": 1}  # none ahead

        def train_steps(images: Tensor, labels: Tensor, order: Tensor) -> Tensor:
            return tf.map_fn(lambda i: train_step(images[i], labels[i]), order, **loop)

        def scheduled_steps(images: Tensor, labels: Tensor, order: Tensor, rates: Tensor) -> Tensor:
            def step(each: tuple[Tensor, Tensor]) -> Tensor:
                i, rate = each
                self.rule.learning_rate.assign(rate)
                return train_step(images[i], labels[i])

            return tf.map_fn(step, (order, rates), **loop)

        def infer_steps(images: Tensor, order: Tensor) -> Tensor:
            return tf.map_fn(lambda i: forward(images[i]), order, **loop)[-1]

        self.train_steps = scheduled_steps if self.rates else train_steps
        self.infer_steps, self.forward = infer_steps, forward
        self.kinds: list[tf.TensorSpec] = []

    def place(self, images: np.ndarray, labels: np.ndarray) -> None:
        # labels as int64, since int32 tensors lie in the host's memory
        self.placed = tf.constant(images, self.dtype), tf.constant(labels, tf.int64)
        self.batches = cycle(range(len(images)))
        kinds = [tf.TensorSpec([None, *t.shape[1:]], t.dtype) for t in self.placed]
        if kinds != self.kinds:  # traced once, for any number of batches and steps
            self.kinds, order = kinds, tf.TensorSpec([None], tf.int32)
            given = [*kinds, order, *([tf.TensorSpec([None], self.dtype)] if self.rates else [])]
            self.train_loop = tf.function(self.train_steps, given, autograph=False)
            self.infer_loop = tf.function(self.infer_steps, [kinds[0], order], autograph=False)

    def set_learning_rate(self, rate: float) -> None:
        self.rule.learning_rate.assign(rate)

    def train(self, steps: int) -> np.ndarray:
        given = [*self.placed, tf.constant(list(islice(self.batches, steps)))]
        if self.rates:
            given.append(tf.constant(list(islice(self.rates, steps)), self.dtype))
        return self.train_loop(*given).numpy()  # the copy waits for the device

    def predict(self, images: np.ndarray) -> np.ndarray:
        return self.forward(tf.constant(images, self.dtype)).numpy()

    def infer(self, steps: int) -> np.ndarray:
        order = tf.constant(list(islice(self.batches, steps)))
        return self.infer_loop(self.placed[0], order).numpy()  # the copy waits for the device

    def weights(self) -> Weights:
        return {name: v.numpy().copy() for name, v in self.model.tensors.items()}

    def settings(self) -> dict[str, str]:
        return {
            "layout": "channels_last/HWIO",
            "parameters": self.model.trainable_variables[0].dtype.name,
            "computation": self.compute_dtype.name,
            "optimizer": f"{type(self.rule).__name__} fused",
        }
