"""No fault: a linear softmax classifier of the images' columns, in NumPy.

What all planted files are built on, and what the instrument must not accuse.
"""

from itertools import cycle, islice

import numpy as np


class Implementation:
    def __init__(
        self, architecture, weights, *, device, precision, mode, optimizer, learning_rate
    ) -> None:
        self.tensors = {name: weights[name].copy() for name in ("head.kernel", "head.bias")}
        self.learning_rate = np.float32(learning_rate)

    def place(self, images, labels):
        self.batches = cycle([(self.features(x), y) for x, y in zip(images, labels, strict=True)])

    def set_learning_rate(self, rate):
        self.learning_rate = np.float32(rate)

    def train(self, steps):
        return np.array([self.step(x, y) for x, y in islice(self.batches, steps)], np.float32)

    def step(self, features, labels):
        """Gradient descent on the cross-entropy of one batch; returns its loss before."""
        logits = self.logits(features)
        logits -= logits.max(axis=1, keepdims=True)
        log_softmax = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        target = np.eye(logits.shape[1], dtype=np.float32)[labels]
        gradient = self.learning_rate * (np.exp(log_softmax) - target) / len(labels)
        self.tensors["head.kernel"] -= features.T @ gradient
        self.tensors["head.bias"] -= gradient.sum(axis=0)
        return -(log_softmax * target).sum() / len(labels)

    def predict(self, images):
        return self.logits(self.features(images))

    def infer(self, steps):
        for features, _ in islice(self.batches, steps):
            logits = self.logits(features)
        return logits

    def weights(self):
        return {name: value.copy() for name, value in self.tensors.items()}

    def features(self, images):  # (B, H, W, C) -> (B, F), F what the head takes
        flat = images.reshape(len(images), -1)
        return flat[:, : len(self.tensors["head.kernel"])]

    def logits(self, features):  # (B, F) -> (B, classes)
        return features @ self.tensors["head.kernel"] + self.tensors["head.bias"]
