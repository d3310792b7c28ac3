"""Keras' optimizers, with the choices of Keras' own that differ from the canonical ones in line.

They are epsilon of Adam; weight decay of SGD, which is decoupled in Keras; and its momentum, which
holds gradients times the rate of their step there.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

Tensor = Any  # of the backend

EXCLUDED = ("gamma", "beta", "bias")  # from weight decay: batch norms and biases


class Adam(type(keras.optimizers.Adam())):  # type: ignore[misc]  # the backend's own class, with its fused update
    """Adam that adds epsilon after the bias correction, as the paper's algorithm 1 does."""

    @property
    def epsilon(self):
        step = ops.cast(self.iterations.value + 1, keras.backend.floatx())
        return self._epsilon * ops.sqrt(1 - self.beta_2**step)

    @epsilon.setter
    def epsilon(self, value):
        self._epsilon = value


class AdamW(Adam):
    """The same with Keras' decoupled decay, which is AdamW's: the rate times the weight decay."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.exclude_from_weight_decay(var_names=EXCLUDED)


class SGD(type(keras.optimizers.SGD())):  # type: ignore[misc]  # the backend's own class, with its fused update
    """SGD whose decay is a part of the gradient, and whose momentum holds gradients alone.

    Without decay and at a constant rate, Keras' own computes the same.
    """

    def __init__(self, learning_rate, momentum, decay):
        super().__init__(learning_rate, momentum)
        self.decay = decay

    def update_step(self, gradient, variable, learning_rate):
        b = self.momentums[self._get_variable_index(variable)]
        momentum, decay, rate = (
            ops.cast(x, variable.dtype) for x in (self.momentum, self.decay, learning_rate)
        )
        gradient = ops.cast(gradient, variable.dtype)
        if self.decay and len(variable.shape) > 1:
            gradient = ops.add(gradient, ops.multiply(variable, decay))
        self.assign(b, ops.add(ops.multiply(b, momentum), gradient))
        self.assign_sub(variable, ops.multiply(b, rate))

    def _parallel_update_step(self, grads, variables, learning_rate):  # PyTorch's, of all at once
        import torch

        values = [v.value for v in variables]
        bs = [self.momentums[self._get_variable_index(v)].value for v in variables]
        torch._foreach_mul_(bs, self.momentum)
        torch._foreach_add_(bs, grads)
        if self.decay:
            kernels = [(b, v) for b, v in zip(bs, values, strict=True) if v.ndim > 1]
            torch._foreach_add_(*zip(*kernels, strict=True), alpha=self.decay)
        torch._foreach_add_(values, bs, alpha=-learning_rate)


class Rates(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate of each step, read by its number; the last of them for all steps after."""

    def __init__(self, rates: np.ndarray) -> None:
        self.rates = ops.convert_to_tensor(rates, keras.config.floatx())

    def __call__(self, step):
        return ops.take(self.rates, ops.minimum(step, len(self.rates) - 1))


def optimizer_of(
    name: str, learning_rate: float, weight_decay: float, learning_rates: np.ndarray | None
) -> keras.optimizers.Optimizer:
    """Adam, AdamW, or SGD with momentum; kernels decay, batch norms and biases do not."""
    # TensorFlow rounds a Python float to float32 on its way to float64
    exact = np.float64 if keras.backend.backend() == "tensorflow" else float
    rate = learning_rate if learning_rates is None else Rates(learning_rates)
    betas = exact(0.9), exact(0.999)
    if name == "adam":
        return Adam(rate, *betas, epsilon=1e-8)
    if name == "adamw":
        return AdamW(rate, *betas, epsilon=1e-8, weight_decay=exact(weight_decay))
    if weight_decay or learning_rates is not None:
        return SGD(rate, exact(0.9), exact(weight_decay))
    return keras.optimizers.SGD(rate, momentum=exact(0.9))


def set_learning_rate(rule: keras.optimizers.Optimizer, rate: float) -> None:
    """Take the next steps at this rate; where Keras' own SGD has momentum, it is times the rate."""
    if isinstance(rule, keras.optimizers.SGD) and not isinstance(rule, SGD):
        factor = rate / float(ops.convert_to_numpy(rule.learning_rate))
        for momentum in rule.momentums:
            momentum.assign(momentum * factor)
    rule.learning_rate = rate
