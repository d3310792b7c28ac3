"""A linear softmax classifier on an 8x8 grid of mean pixels, in NumPy: small, but not pretended.

It exists to inject faults: tests copy it and write faulty files beside the copy, which derive from
`fake_implementation.Implementation`.
"""

from itertools import cycle, islice

import numpy as np

from resnet_impls.architecture import Architecture
from resnet_impls.weights import Weights


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
        if (device, precision, optimizer) != ("cpu", "fp32", "sgd"):
            raise NotImplementedError(f"no {optimizer} in {precision} on {device} here")
        self.tensors = {name: weights[name].copy() for name in ("head.kernel", "head.bias")}
        self.learning_rate = np.float32(learning_rate)

    def place(self, images: np.ndarray, labels: np.ndarray) -> None:
        batches = [(grid(x), y) for x, y in zip(images, labels, strict=True)]
        self.batches = cycle(batches)

    def set_learning_rate(self, rate: float) -> None:
        self.learning_rate = np.float32(rate)

    def train(self, steps: int) -> np.ndarray:
        batches = islice(self.batches, steps)
        return np.array([self.step(features, labels) for features, labels in batches], np.float32)

    def step(self, features: np.ndarray, labels: np.ndarray) -> float:
        """Plain gradient descent on the cross-entropy of one batch; the loss before the step."""
        logits = self.logits(features)
        logits -= logits.max(axis=1, keepdims=True)
        log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        rows = np.arange(len(labels))
        gradient = np.exp(log_probabilities)  # (B, classes)
        gradient[rows, labels] -= 1
        gradient *= self.learning_rate / np.float32(len(labels))
        self.tensors["head.kernel"] -= features.T @ gradient
        self.tensors["head.bias"] -= gradient.sum(axis=0)
        return -float(log_probabilities[rows, labels].mean())

    def predict(self, images: np.ndarray) -> np.ndarray:
        return self.logits(grid(images))

    def infer(self, steps: int) -> np.ndarray:
        for features, _ in islice(self.batches, steps):
            logits = self.logits(features)
        return logits

    def weights(self) -> Weights:
        return {name: value.copy() for name, value in self.tensors.items()}

    def logits(self, features: np.ndarray) -> np.ndarray:
        return features @ self.tensors["head.kernel"] + self.tensors["head.bias"]


def grid(images: np.ndarray) -> np.ndarray:
    """(B, H, W, 3) -> (B, 64): as many features as the head of the small ResNets takes."""
    count, height, width, channels = images.shape
    return (
        images.reshape(count, 8, height // 8, 8, width // 8, channels)
        .mean((2, 4, 5))
        .reshape(count, 64)
    )
