"""The ResNet in TensorFlow trained data-parallel: one process, MirroredStrategy over its devices.

Each replica has variables of its own, and takes a step by the mean of all replicas' gradients. The
loop over steps is part of the graph, and each turn of it runs all replicas.
"""

from collections.abc import Callable, Iterator
from copy import copy
from itertools import chain, cycle, islice, repeat
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow import Tensor

from resnet_impls.architecture import BATCH_NORM_EPSILON, BATCH_NORM_MOMENTUM, Architecture
from resnet_impls.devices import DEVICES
from resnet_impls.tensorflow_module import (
    LOSS_SCALE,
    SGD,
    Adam,
    AdamW,
    ResNet,
    Variables,
    cross_entropy,
)
from resnet_impls.tensorflow_module import batch_norm as local_batch_norm
from resnet_impls.weights import Weights

Average = Callable[[Any], Any]  # over the replicas, of a tensor or a list of them


def all_reduce(x: Any) -> Any:
    """The mean over the replicas, whose gradient is the mean of the replicas' gradients."""
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, x)


def synchronised(x: Tensor, name: str, variables: Variables, training: bool) -> Tensor:
    """Batch norm over the parts of all replicas: (B, H, W, C) as it was."""
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if not training or replicas == 1:
        return local_batch_norm(x, name, variables, training)
    leaves = ("scale", "bias", "mean", "variance")
    scale, bias, mean, variance = [variables[f"{name}.{leaf}"] for leaf in leaves]
    values = tf.cast(x, scale.dtype)
    mean_here, variance_here = tf.nn.moments(values, [0, 1, 2])
    mean_now, square = tf.unstack(all_reduce(tf.stack([mean_here, variance_here + mean_here**2])))
    variance_now = square - mean_now**2
    count = tf.cast(replicas * tf.size(x) / tf.size(mean_now), scale.dtype)
    mean.assign_add(BATCH_NORM_MOMENTUM * (mean_now - mean))
    variance.assign_add(BATCH_NORM_MOMENTUM * (variance_now * count / (count - 1) - variance))
    values = tf.nn.batch_normalization(
        values, mean_now, variance_now, bias, scale, BATCH_NORM_EPSILON
    )
    return tf.cast(values, x.dtype)


def devices_of(device: str, world_size: int) -> list[str]:
    """The devices of a strategy: on a CPU as many as are asked for, which share its cores.

    Raises ImportError where there are not so many.
    """
    kind = str(DEVICES[device].tensorflow)
    found = tf.config.list_physical_devices(kind)
    if device == "cpu":
        tf.config.set_visible_devices([], "GPU")
        if tf.config.get_logical_device_configuration(found[0]) is None:
            parts = [tf.config.LogicalDeviceConfiguration()] * world_size
            tf.config.set_logical_device_configuration(found[0], parts)
    elif len(found) < world_size:
        raise ImportError(f"this TensorFlow finds {len(found)} {device} devices, not {world_size}")
    return [f"{kind}:{number}" for number in range(world_size)]


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
        world_size: int,
        batch_norm: str,
    ) -> None:
        self.strategy = tf.distribute.MirroredStrategy(devices_of(device, world_size))
        tf.config.experimental.enable_tensor_float_32_execution(precision == "tf32")
        self.dtype = tf.float64 if precision == "fp64" else tf.float32
        self.compute_dtype = {"bf16": tf.bfloat16, "fp16": tf.float16}.get(precision, self.dtype)
        scale = LOSS_SCALE if precision == "fp16" else None

        self.rule: Adam | SGD
        norm = {"norm": synchronised} if batch_norm == "synchronised" else {}
        with self.strategy.scope():
            self.model = ResNet(architecture, weights, **norm)
            variables = self.model.trainable_variables
            if optimizer == "adam":
                self.rule = Adam(variables, learning_rate)
            else:
                rule = AdamW if optimizer == "adamw" else SGD
                self.rule = rule(variables, learning_rate, weight_decay)
        self.rates: Iterator[float] = repeat(learning_rate)  # of the steps to come
        if learning_rates is not None:
            self.rates = chain(learning_rates.tolist(), repeat(float(learning_rates[-1])))

        def loop(model: ResNet, average: Average) -> Callable[..., Tensor]:
            def train_step(images: Tensor, labels: Tensor, rate: Tensor) -> Tensor:
                self.rule.learning_rate.assign(rate)
                with tf.GradientTape() as tape:
                    logits = model(tf.cast(images, self.compute_dtype), training=True)
                    loss = tf.reduce_mean(cross_entropy(labels, logits, label_smoothing))
                gradients = average(tape.gradient(loss, variables, scale))
                self.rule.apply([g / scale for g in gradients] if scale else gradients)
                return loss

            def train_steps(images: Tensor, labels: Tensor, order: Tensor, rates: Tensor) -> Tensor:
                def step(each: tuple[Tensor, Tensor]) -> Tensor:
                    i, rate = each

                    def of_replica(images: Tensor, labels: Tensor) -> Tensor:
                        return train_step(images[i], labels[i], rate)

                    losses = self.strategy.run(of_replica, (images, labels))
                    return self.strategy.reduce(tf.distribute.ReduceOp.MEAN, losses, axis=None)

                options = {"fn_output_signature": self.dtype, "parallel_iterations": 1}
                return tf.map_fn(step, (order, rates), **options)  # none ahead

            return train_steps

        @tf.function(autograph=False)
        def forward(images: Tensor) -> Tensor:
            return self.model(tf.cast(images, self.compute_dtype), training=False)

        alone = copy(self.model)  # the same variables, and nothing to exchange
        alone.norm = local_batch_norm
        self.train_steps, self.steps_alone = loop(self.model, all_reduce), loop(alone, lambda x: x)
        self.forward = forward
        self.kinds: list[tf.TypeSpec] = []

    def place(self, images: np.ndarray, labels: np.ndarray) -> None:
        # labels as int64, since int32 tensors lie in the host's memory
        def parts(array: np.ndarray, dtype: tf.DType) -> tf.distribute.DistributedValues:
            def part(context: tf.distribute.DistributedValues) -> Tensor:
                replicas, index = context.num_replicas_in_sync, context.replica_id_in_sync_group
                return tf.constant(np.split(array, replicas, axis=1)[index], dtype)

            return self.strategy.experimental_distribute_values_from_function(part)

        self.placed = parts(images, self.dtype), parts(labels, tf.int64)
        self.batches = cycle(range(len(images)))
        kinds = [tf.type_spec_from_value(array) for array in self.placed]
        if kinds != self.kinds:  # traced once, for any number of steps
            self.kinds = kinds
            given = [*kinds, tf.TensorSpec([None], tf.int32), tf.TensorSpec([None], self.dtype)]
            self.train_loop = tf.function(self.train_steps, given, autograph=False)
            self.loop_alone = tf.function(self.steps_alone, given, autograph=False)

    def set_learning_rate(self, rate: float) -> None:
        self.rates = repeat(rate)

    def train(self, steps: int) -> np.ndarray:
        return self.train_loop(*self.given(steps)).numpy()  # the copy waits for the devices

    def train_alone(self, steps: int) -> None:
        self.loop_alone(*self.given(steps)).numpy()

    def given(self, steps: int) -> list[Tensor]:
        """What the loop over the next steps is given."""
        order = tf.constant(list(islice(self.batches, steps)))
        return [*self.placed, order, tf.constant(list(islice(self.rates, steps)), self.dtype)]

    def average_statistics(self) -> None:
        """Have all replicas hold the mean of their running statistics."""
        for variable in self.model.variables:
            if not variable.trainable:
                values = self.strategy.experimental_local_results(variable)
                variable.assign(tf.add_n(values) / len(values))

    def predict(self, images: np.ndarray) -> np.ndarray:
        self.average_statistics()
        return self.forward(tf.constant(images, self.dtype)).numpy()

    def infer(self, steps: int) -> np.ndarray:
        self.average_statistics()
        for index in islice(self.batches, steps):
            parts = self.strategy.experimental_local_results(self.placed[0])
            logits = [self.forward(images[index]) for images in parts]
        return tf.concat(logits, 0).numpy()

    def weights(self) -> Weights:
        self.average_statistics()
        return {name: v.numpy().copy() for name, v in self.model.tensors.items()}

    def settings(self) -> dict[str, str]:
        return {
            "layout": "channels_last/HWIO",
            "parameters": self.model.trainable_variables[0].dtype.name,
            "computation": self.compute_dtype.name,
            "optimizer": f"{type(self.rule).__name__} fused",
        }
