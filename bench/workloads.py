"""What is done inside a block, and what is learnt once all blocks are done."""

from typing import Any, Protocol

import numpy as np

from bench.data import Dataset
from resnet_impls.weights import Weights


class Implementation(Protocol):
    """What every implementation file ends with; each call returns when the device is idle."""

    def place(self, images: np.ndarray, labels: np.ndarray) -> None:
        """Put K batches on the device: images (K, B, H, W, 3) float32, labels (K, B) int32."""

    def train(self, steps: int) -> np.ndarray:
        """Run the next optimizer steps, cycling through the batches; losses (steps,) float32."""

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Logits (B, classes) float32 of images (B, H, W, 3), in evaluation mode."""

    def infer(self, steps: int) -> None:
        """Run the next forward passes in evaluation mode, cycling through the batches."""

    def weights(self) -> Weights:
        """Copies of all the tensors that the network has, by canonical name."""


class Train:
    """Optimizer steps from the same weights over the same batches, then the test accuracy."""

    def __init__(self, implementation: Implementation) -> None:
        self.implementation = implementation
        self.losses: list[np.ndarray] = []

    def run(self, steps: int) -> None:
        losses = self.implementation.train(steps)
        self.losses.append(losses)
        if np.shape(losses) != (steps,):
            raise ValueError(f"train({steps}) returned losses of shape {np.shape(losses)}")

    def outcome(self, data: Dataset, batch_size: int) -> dict[str, Any]:
        """Losses of all steps and the accuracy of the state they led to.

        Raises ValueError where a loss is not a finite number.
        """
        losses = np.concatenate(self.losses).astype(np.float32)
        if not np.isfinite(losses).all():
            step = int(np.flatnonzero(~np.isfinite(losses))[0]) + 1
            raise ValueError(f"the training loss became {losses[step - 1]} at step {step}")
        return {
            "losses": [float(loss) for loss in losses],
            "final_loss": float(losses[-1]),
            "test_accuracy": accuracy(self.implementation, data, batch_size),
        }


class Infer:
    """Batched forward passes in evaluation mode."""

    def __init__(self, implementation: Implementation) -> None:
        self.implementation = implementation

    def run(self, steps: int) -> None:
        self.implementation.infer(steps)

    def outcome(self, data: Dataset, batch_size: int) -> dict[str, Any]:
        """Nothing: untrained weights have no accuracy worth a column."""
        return {}


WORKLOADS: dict[str, type[Train] | type[Infer]] = {"train": Train, "infer": Infer}


def accuracy(implementation: Implementation, data: Dataset, batch_size: int) -> float:
    """Fraction of the test images that are classified rightly, 0 to 1.

    Every batch is full, the last one with repeated images whose answers are not counted, so that
    no framework has to compile for a second shape. Raises ValueError for logits that are not
    numbers.
    """
    right, total = 0, len(data.test_labels)
    for start in range(0, total, batch_size):
        index = np.arange(start, start + batch_size)
        logits = np.asarray(implementation.predict(data.test_images[index % total]))
        if logits.ndim != 2 or len(logits) != batch_size or not np.isfinite(logits).all():
            raise ValueError(f"predict returned no finite logits (shape {logits.shape})")
        counted = index[index < total]
        answers = logits.argmax(axis=1)[: len(counted)]
        right += int((answers == data.test_labels[counted]).sum())
    return right / total
