"""The executable specification: what every implementation must compute, in float64 NumPy.

Implementations are identical when each agrees with this file on logits, loss, gradients, running
statistics and updated parameters. A layer returns its output and a function `backward`, which turns
the gradient of the loss with respect to that output into those of everything the layer was given.

Notation: B images of H x W pixels; I input and O output channels, C where they are the same; k x k
windows; a prime marks an output size, H' = (H + 2 * (k // 2) - k) // stride + 1; `dx` is the
gradient of the loss with respect to `x`, and has its shape.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from resnet_impls.architecture import BATCH_NORM_EPSILON, BATCH_NORM_MOMENTUM, Architecture, Conv
from resnet_impls.architecture import Block as BlockPlan
from resnet_impls.weights import Weights

Array = np.ndarray
Backward = Callable[[Array], Array]  # dy -> dx
ParameterBackward = Callable[[Array], tuple[Array, ...]]  # dy -> dx, gradients of the parameters
Layer = Callable[[Array], tuple[Array, Backward]]
Rule = Callable[[Array, dict[str, Any], int], Array]  # gradient, state, step -> direction
BHW = (0, 1, 2)  # the axes that a batch norm averages over


def windows(x: Array, k: int, stride: int, padding: float = 0.0) -> Array:
    """(B, H, W, C), framed by k // 2 pixels of `padding` -> its windows, (B, H', W', k, k, C)."""
    edge = (k // 2, k // 2)
    padded = np.pad(x, ((0, 0), edge, edge, (0, 0)), constant_values=padding)
    every = sliding_window_view(padded, (k, k), axis=(1, 2))  # at stride 1: (B, .., .., C, k, k)
    return every[:, ::stride, ::stride].transpose(0, 1, 2, 4, 5, 3)


def windows_backward(dwindows: Array, shape: tuple[int, ...], stride: int) -> Array:
    """(B, H', W', k, k, C) -> `shape`, (B, H, W, C): a pixel collects from all its windows."""
    (batch, rows, columns, k, _, channels), (_, height, width, _) = dwindows.shape, shape
    edge = k // 2
    dpadded = np.zeros((batch, height + 2 * edge, width + 2 * edge, channels), dwindows.dtype)
    for i, j in np.ndindex(k, k):
        below, beyond = i + stride * rows, j + stride * columns
        dpadded[:, i:below:stride, j:beyond:stride] += dwindows[:, :, :, i, j]
    return dpadded[:, edge : edge + height, edge : edge + width]


def conv2d(x: Array, kernel: Array, stride: int) -> tuple[Array, ParameterBackward]:
    """(B, H, W, I), (k, k, I, O) -> (B, H', W', O). No bias; the kernel is not flipped."""
    k, _, inputs, outputs = kernel.shape
    views = windows(x, k, stride)  # (B, H', W', k, k, I)
    matrix = kernel.reshape(-1, outputs)  # (k k I, O)
    y = views.reshape(-1, k * k * inputs) @ matrix  # (B H' W', O)

    def backward(dy: Array) -> tuple[Array, Array]:
        dy = dy.reshape(-1, outputs)  # (B H' W', O)
        dmatrix = views.reshape(-1, k * k * inputs).T @ dy  # (k k I, O)
        dviews = (dy @ matrix.T).reshape(views.shape)  # (B, H', W', k, k, I)
        return windows_backward(dviews, x.shape, stride), dmatrix.reshape(kernel.shape)

    return y.reshape(*views.shape[:3], outputs), backward


def batch_norm(
    x: Array, mean: Array, variance: Array, scale: Array, bias: Array
) -> tuple[Array, ParameterBackward]:
    """(B, H, W, C), the others (C,) -> (B, H, W, C).

    Training passes the mean and the biased variance of `x` itself, evaluation the running ones.
    """
    deviation = np.sqrt(variance + BATCH_NORM_EPSILON)
    normalised = (x - mean) / deviation

    def backward(dy: Array) -> tuple[Array, Array, Array]:
        # In training mean and variance depend on x: hence the two terms subtracted from dy
        n = dy.size // dy.shape[-1]
        dscale, dbias = (dy * normalised).sum(BHW), dy.sum(BHW)  # (C,)
        return (dy - dbias / n - normalised * dscale / n) * scale / deviation, dscale, dbias

    return normalised * scale + bias, backward


def max_pool(x: Array) -> tuple[Array, Backward]:
    """3x3 windows at stride 2, padded with -inf: (B, H, W, C) -> (B, H', W', C)."""
    views = windows(x, 3, 2, padding=-np.inf)  # (B, H', W', 3, 3, C)

    def backward(dy: Array) -> Array:  # all to the maximum, in a tie to the first one
        flat = views.reshape(*dy.shape[:3], 9, -1)  # (B, H', W', 9, C)
        dflat = np.zeros_like(flat)
        np.put_along_axis(dflat, flat.argmax(3, keepdims=True), dy[:, :, :, None], axis=3)
        return windows_backward(dflat.reshape(views.shape), x.shape, 2)

    return views.max((3, 4)), backward


def global_average_pool(x: Array) -> tuple[Array, Backward]:
    """(B, H, W, C) -> (B, C)."""
    area = x.shape[1] * x.shape[2]
    return x.mean((1, 2)), lambda dy: np.broadcast_to(dy[:, None, None] / area, x.shape)


def softmax_cross_entropy(
    logits: Array, labels: Array, smoothing: float = 0.0
) -> tuple[float, Array]:
    """(B, classes), integers (B,) -> mean of -log softmax(logits)[label], and its `dlogits`.

    All classes share `smoothing` of each target (Szegedy et al., arXiv:1512.00567, section 7).
    """
    classes = logits.shape[1]
    target = (1 - smoothing) * np.eye(classes)[labels] + smoothing / classes  # (B, classes)
    shifted = logits - logits.max(1, keepdims=True)  # exp must not overflow
    log_softmax = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    loss = -(target * log_softmax).sum() / len(labels)
    return float(loss), (np.exp(log_softmax) - target) / len(labels)


def sgd(g: Array, state: dict[str, Any], step: int) -> Array:
    """Direction of an update from gradient `g`: momentum 0.9, neither dampened nor Nesterov's."""
    state["b"] = 0.9 * state["b"] + g
    return state["b"]


def adam(g: Array, state: dict[str, Any], step: int) -> Array:
    """Direction of update number `step`, from 1: Kingma & Ba, arXiv:1412.6980, algorithm 1."""
    state["m"] = 0.9 * state["m"] + (1 - 0.9) * g
    state["v"] = 0.999 * state["v"] + (1 - 0.999) * g**2
    m, v = state["m"] / (1 - 0.9**step), state["v"] / (1 - 0.999**step)  # without their bias
    return m / (np.sqrt(v) + 1e-8)


class Pass:
    """One batch on its way through the network, and what it leaves behind."""

    def __init__(self, architecture: Architecture, weights: Weights, *, training: bool) -> None:
        self.architecture, self.weights, self.training = architecture, weights, training
        self.gradients, self.statistics = Weights(), Weights()
        self.margin = np.inf  # smallest distance to where a gradient jumps, in ReLUs and the pool

    def network(self, images: Array) -> tuple[Array, Backward]:
        """(B, H, W, 3) -> logits (B, classes)."""
        stem = partial(self.conv_norm, self.architecture.stem)
        pool = [self.pool] if self.architecture.max_pool else []
        blocks = [partial(self.block, plan) for plan in self.architecture.blocks]
        return self.chain([stem, self.relu, *pool, *blocks, global_average_pool, self.head], images)

    def block(self, plan: BlockPlan, x: Array) -> tuple[Array, Backward]:
        """relu(residual(x) + shortcut(x)): (B, H, W, I) -> (B, H', W', O)."""
        branch = [f for conv in plan.residual for f in (partial(self.conv_norm, conv), self.relu)]
        residual, residual_backward = self.chain(branch[:-1], x)  # the last ReLU follows the sum
        projection = [partial(self.conv_norm, plan.shortcut)] if plan.shortcut else []
        shortcut, shortcut_backward = self.chain(projection, x)  # without a layer: x itself
        y, relu_backward = self.relu(residual + shortcut)

        def backward(dy: Array) -> Array:
            dsum = relu_backward(dy)
            return residual_backward(dsum) + shortcut_backward(dsum)

        return y, backward

    def chain(self, layers: Iterable[Layer], x: Array) -> tuple[Array, Backward]:
        """`layers` one after the other, and back in reverse order."""
        backwards: list[Backward] = []
        for layer in layers:
            x, layer_backward = layer(x)
            if self.training:  # evaluation never goes back: let each layer's memory go
                backwards.append(layer_backward)

        def backward(dx: Array) -> Array:
            for layer_backward in reversed(backwards):
                dx = layer_backward(dx)
            return dx

        return x, backward

    def conv_norm(self, conv: Conv, x: Array) -> tuple[Array, Backward]:
        """A convolution and its batch norm: (B, H, W, I) -> (B, H', W', O)."""
        w, g, norm = self.weights, self.gradients, conv.norm
        z, conv_backward = conv2d(x, w[f"{conv.name}.kernel"], conv.stride)
        mean, variance = w[f"{norm}.mean"], w[f"{norm}.variance"]  # running
        if self.training:
            old, new = 1 - BATCH_NORM_MOMENTUM, BATCH_NORM_MOMENTUM
            self.statistics[f"{norm}.mean"] = old * mean + new * z.mean(BHW)
            self.statistics[f"{norm}.variance"] = old * variance + new * z.var(BHW, ddof=1)  # n - 1
            mean, variance = z.mean(BHW), z.var(BHW)  # over n
        y, norm_backward = batch_norm(z, mean, variance, w[f"{norm}.scale"], w[f"{norm}.bias"])

        def backward(dy: Array) -> Array:
            dz, g[f"{norm}.scale"], g[f"{norm}.bias"] = norm_backward(dy)
            dx, g[f"{conv.name}.kernel"] = conv_backward(dz)
            return dx

        return y, backward

    def relu(self, x: Array) -> tuple[Array, Backward]:
        """Negative values become 0; where x <= 0 the gradient does too. Any shape."""
        self.margin = min(self.margin, float(np.abs(x).min()))
        positive = x > 0
        return np.maximum(x, 0), lambda dy: dy * positive

    def pool(self, x: Array) -> tuple[Array, Backward]:
        """`max_pool` of what a ReLU lets through: (B, H, W, C) -> (B, H', W', C)."""
        ordered = np.sort(windows(x, 3, 2).reshape(-1, 9, x.shape[-1]), axis=1)
        gaps = (ordered[:, -1] - ordered[:, -2])[ordered[:, -1] > 0]  # at 0 the ReLU passes nothing
        self.margin = float(gaps.min(initial=self.margin))
        return max_pool(x)

    def head(self, x: Array) -> tuple[Array, Backward]:
        """The dense layer that yields the logits: (B, C) -> (B, classes)."""
        kernel, bias = self.weights["head.kernel"], self.weights["head.bias"]

        def backward(dy: Array) -> Array:
            self.gradients |= {"head.kernel": x.T @ dy, "head.bias": dy.sum(0)}
            return dy @ kernel.T

        return x @ kernel + bias, backward


def mean(of: Sequence[Weights], names: Iterable[str]) -> Weights:
    """The mean of each of the tensors `names`."""
    return {name: np.mean([each[name] for each in of], axis=0) for name in names}


class Reference:
    """Trains `architecture` from a float64 copy of `weights`."""

    def __init__(
        self,
        architecture: Architecture,
        weights: Weights,
        *,
        optimizer: str,
        learning_rate: float,
        weight_decay: float = 0.0,
        label_smoothing: float = 0.0,
        shards: int = 1,
    ) -> None:
        """`shards`: into how many equal parts a batch is cut, each with batch norms of its own."""
        self.shards = shards
        self.architecture, self.learning_rate = architecture, learning_rate
        self.weight_decay, self.label_smoothing = weight_decay, label_smoothing
        self.decoupled = optimizer == "adamw"
        self.weights = {name: np.array(value, np.float64) for name, value in weights.items()}
        self.rule: Rule = {"sgd": sgd, "adam": adam, "adamw": adam}[optimizer]
        self.states: dict[str, dict[str, Any]] = {name: defaultdict(float) for name in weights}
        self.steps = 0

    def predict(self, images: Array) -> Array:
        """Evaluation mode: (B, H, W, 3) -> logits (B, classes)."""
        batch = Pass(self.architecture, self.weights, training=False)
        return batch.network(images.astype(np.float64))[0]

    def gradients(self, images: Array, labels: Array) -> tuple[float, Weights, Weights, float]:
        """What a step sees, without taking it: (B, H, W, 3), integers (B,) -> loss, gradients,
        running statistics that include this batch, and its margin.

        Of shards, loss, gradients and running statistics are the mean of theirs.
        """
        passes, losses = [], []
        for part, answers in zip(
            *(np.split(x, self.shards) for x in (images, labels)), strict=True
        ):
            batch = Pass(self.architecture, self.weights, training=True)
            logits, backward = batch.network(part.astype(np.float64))
            loss, dlogits = softmax_cross_entropy(logits, answers, self.label_smoothing)
            backward(dlogits)
            passes.append(batch)
            losses.append(loss)
        gradients = mean([batch.gradients for batch in passes], self.architecture.parameters)
        statistics = mean([batch.statistics for batch in passes], passes[0].statistics)
        return float(np.mean(losses)), gradients, statistics, min(batch.margin for batch in passes)

    def train_step(self, images: Array, labels: Array) -> float:
        """(B, H, W, 3), integers (B,) -> loss before the update of `weights`."""
        loss, gradients, statistics, _ = self.gradients(images, labels)
        self.steps += 1
        for name, g in gradients.items():
            self.weights[name] -= self.learning_rate * self.direction(name, g)
        self.weights |= statistics
        return loss

    def direction(self, name: str, g: Array) -> Array:
        """What a step goes along for one parameter, from its gradient; has its shape.

        Weight decay is of kernels alone. SGD's is a part of the gradient and so of its momentum;
        AdamW's is not (Loshchilov and Hutter, arXiv:1711.05101), but the rate scales both.
        """
        decay = self.weight_decay * self.weights[name] if name.endswith(".kernel") else 0.0
        if self.decoupled:
            return self.rule(g, self.states[name], self.steps) + decay
        return self.rule(g + decay, self.states[name], self.steps)
