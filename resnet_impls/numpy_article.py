"""The reference with the choices of the article's Keras model, each alone or all of them.

`article_torch` and `article_keras` differ in seven choices that the frameworks make for their
users. Here each is a field, so that its effect can be computed in float64, apart from the others.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from resnet_impls.architecture import BATCH_NORM_EPSILON, BATCH_NORM_MOMENTUM, Architecture, Conv
from resnet_impls.numpy_reference import (
    BHW,
    Array,
    Backward,
    ParameterBackward,
    Pass,
    Reference,
    Rule,
    adam,
    batch_norm,
    conv2d,
    softmax_cross_entropy,
)
from resnet_impls.weights import Weights

LEAST_PROBABILITY = 1e-7  # Keras clips probabilities to it, and to 1 minus it


def conv2d_same(x: Array, kernel: Array, stride: int) -> tuple[Array, ParameterBackward]:
    """(B, H, W, I), (k, k, I, O) -> (B, H', W', O), H' = ceil(H / stride): `padding="same"`.

    As few zeros as that takes, the odd one after the last pixel. H and W are equal.
    """
    k, size = len(kernel), x.shape[1]
    zeros = max(0, (-(-size // stride) - 1) * stride + k - size)
    skipped = slice(k // 2 - zeros // 2, None, stride)  # of the outputs with k // 2 before
    dense, dense_backward = conv2d(x, kernel, 1)

    def backward(dy: Array) -> tuple[Array, ...]:
        ddense = np.zeros_like(dense)
        ddense[:, skipped, skipped] = dy
        return dense_backward(ddense)

    return dense[:, skipped, skipped], backward


def adam_keras(g: Array, state: dict[str, Any], step: int) -> Array:
    """Adam with epsilon 1e-7, added before the second moment is rid of its bias."""
    state["m"] = 0.9 * state["m"] + (1 - 0.9) * g
    state["v"] = 0.999 * state["v"] + (1 - 0.999) * g**2
    correction = np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
    return correction * state["m"] / (np.sqrt(state["v"]) + 1e-7)


def clipped_cross_entropy(logits: Array, labels: Array) -> tuple[float, Array]:
    """Mean cross entropy of softmax outputs, clipped before the logarithm, and its `dlogits`.

    An image whose label's probability is clipped has no gradient.
    """
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    probabilities = exponentials / exponentials.sum(1, keepdims=True)  # (B, classes)
    true = probabilities[np.arange(len(labels)), labels]  # (B,)
    clipped = true.clip(LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    target = np.eye(logits.shape[1])[labels]  # (B, classes), one-hot
    dlogits = (probabilities - target) * (clipped == true)[:, None] / len(labels)
    return float(-np.log(clipped).mean()), dlogits


@dataclass(frozen=True)
class Choices:
    """What the pair's two models decide differently; the defaults are PyTorch's choices."""

    convolve: Callable[[Array, Array, int], tuple[Array, ParameterBackward]] = conv2d
    epsilon: float = BATCH_NORM_EPSILON
    momentum: float = BATCH_NORM_MOMENTUM  # weight of the new batch, as PyTorch counts
    ddof: int = 1  # the running variance divides by n - ddof
    rule: Rule = adam
    loss: Callable[[Array, Array], tuple[float, Array]] = softmax_cross_entropy
    bias: bool = False  # of convolutions


KERAS = Choices(conv2d_same, 1e-3, 0.01, 0, adam_keras, clipped_cross_entropy, True)


class ArticlePass(Pass):
    """One batch on its way through a network of such choices."""

    def __init__(
        self, architecture: Architecture, weights: Weights, choices: Choices, *, training: bool
    ) -> None:
        super().__init__(architecture, weights, training=training)
        self.choices = choices

    def conv_norm(self, conv: Conv, x: Array) -> tuple[Array, Backward]:
        w, g, norm, choices = self.weights, self.gradients, conv.norm, self.choices
        z, conv_backward = choices.convolve(x, w[f"{conv.name}.kernel"], conv.stride)
        if choices.bias:
            z = z + w[f"{conv.name}.bias"]
        mean, variance = w[f"{norm}.mean"], w[f"{norm}.variance"]  # running
        if self.training:
            old, new = 1 - choices.momentum, choices.momentum
            self.statistics[f"{norm}.mean"] = old * mean + new * z.mean(BHW)
            kept = z.var(BHW, ddof=choices.ddof)
            self.statistics[f"{norm}.variance"] = old * variance + new * kept
            mean, variance = z.mean(BHW), z.var(BHW)
        variance = variance + (choices.epsilon - BATCH_NORM_EPSILON)  # `batch_norm` adds the latter
        y, norm_backward = batch_norm(z, mean, variance, w[f"{norm}.scale"], w[f"{norm}.bias"])

        def backward(dy: Array) -> Array:
            dz, g[f"{norm}.scale"], g[f"{norm}.bias"] = norm_backward(dy)
            if choices.bias:
                g[f"{conv.name}.bias"] = dz.sum(BHW)
            dx, g[f"{conv.name}.kernel"] = conv_backward(dz)
            return dx

        return y, backward


class ArticleReference(Reference):
    """Trains a network of such choices by Adam; biases of convolutions start from 0."""

    def __init__(
        self,
        architecture: Architecture,
        weights: Weights,
        choices: Choices,
        *,
        learning_rate: float,
    ) -> None:
        biases = {f"{conv.name}.bias": np.zeros(conv.outputs) for conv in architecture.convs}
        super().__init__(
            architecture,
            weights | biases if choices.bias else weights,
            optimizer="adam",
            learning_rate=learning_rate,
        )
        self.choices, self.rule = choices, choices.rule

    def logits(self, images: Array, *, training: bool) -> Array:
        """(B, H, W, 3) -> (B, classes), before any softmax, in training or evaluation mode."""
        batch = ArticlePass(self.architecture, self.weights, self.choices, training=training)
        return batch.network(images.astype(np.float64))[0]

    def predict(self, images: Array) -> Array:
        return self.logits(images, training=False)

    def gradients(self, images: Array, labels: Array) -> tuple[float, Weights, Weights, float]:
        batch = ArticlePass(self.architecture, self.weights, self.choices, training=True)
        logits, backward = batch.network(images.astype(np.float64))
        loss, dlogits = self.choices.loss(logits, labels)
        backward(dlogits)
        return loss, batch.gradients, batch.statistics, batch.margin
