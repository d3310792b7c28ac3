"""The contract: what every implementation file ends with, and what a harness may expect of it.

A class `Implementation`, built by

    Implementation(
        architecture, weights, *, device, precision, mode, optimizer, learning_rate
    )

from an `Architecture` and its weights by canonical name. `precision` is one of fp32, tf32, bf16 and
fp16, or fp64 where a certificate compares the semantics. It raises NotImplementedError for what it
does not have, and ImportError where a package is missing.

Where a cell asks for more than that, `Implementation` is given `Options` too, by their names. One
that does not take weight decay or label smoothing does not run such cells.
"""

from typing import Protocol, TypedDict

import numpy as np

from resnet_impls.weights import Weights


class Options(TypedDict, total=False):
    """What an implementation is built with besides, where a cell asks for it."""

    # Of kernels alone, never of batch norms and biases: of SGD a part of the gradient, of AdamW
    # apart from it
    weight_decay: float
    # The part of a target that all classes share: 1 - s of an image's own, and s / classes of each
    label_smoothing: float
    # (steps,) float64: that of each step, the last of them for all steps after it. What does not
    # take them has its learning rate set before each step.
    learning_rates: np.ndarray
    # Of data-parallel training: how many ranks train on equal parts of each batch, in order, and
    # whether batch norms are synchronised over them, or per-replica
    world_size: int
    batch_norm: str


class Implementation(Protocol):
    """One network, built and ready; each call returns when the device is idle."""

    def place(self, images: np.ndarray, labels: np.ndarray) -> None:
        """Put K batches on the device: images (K, B, H, W, 3) float32, labels (K, B) int32."""

    def set_learning_rate(self, rate: float) -> None:
        """Take the next optimizer steps at this rate; their state stays what it is."""

    def train(self, steps: int) -> np.ndarray:
        """Run the next optimizer steps, cycling through the batches; losses (steps,) float32."""

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Logits (B, classes) float32 of images (B, H, W, 3), in evaluation mode."""

    def infer(self, steps: int) -> np.ndarray:
        """Run the next forward passes in evaluation mode, cycling through the batches; logits
        (B, classes) float32 of the last.
        """

    def weights(self) -> Weights:
        """Copies of all the tensors that the network has, by canonical name."""

    # `streams(self, count: int) -> list[Implementation]` is optional: the same network for each of
    # so many threads, which place their own batches and call `infer` at once, on one device whose
    # processors are divided among them.

    # `train_alone(self, steps: int) -> None` is optional, of data-parallel training: the same steps
    # with nothing to exchange, of a network that each rank has to itself; what it learns is lost.

    # `program_mib(self) -> float | None` is optional: the memory on the device in MiB that a step
    # needs at once, by the analysis of the program that was compiled or captured for it.

    # `settings(self) -> dict[str, str]` is optional: what only the implementation knows of the
    # effective settings, read from its real objects. `results/README.md` names the settings;
    # `skipped_steps` must be among them where loss scaling may leave out a step.


def settings(implementation: Implementation) -> dict[str, str]:
    """What an implementation tells of its effective settings; nothing where it has no such call."""
    told: dict[str, str] = getattr(implementation, "settings", dict)()
    return told


def program_mib(implementation: Implementation) -> float | None:
    """What a step's program needs on the device, in MiB; None where nothing tells."""
    told: float | None = getattr(implementation, "program_mib", lambda: None)()
    return told


def skipped_steps(implementation: Implementation) -> int:
    """Optimizer steps left out since gradients overflowed, as the implementation counts them."""
    return int(settings(implementation).get("skipped_steps", 0))
