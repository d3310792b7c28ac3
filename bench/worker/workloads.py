"""What a worker does inside a block, and what the blocks led to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice

import numpy as np

from bench.data.augmentation import Batch
from bench.data.datasets import Dataset
from bench.data.recipes import stretches
from resnet_impls.contract import Implementation
from resnet_impls.weights import fingerprint

FINGERPRINTED = 8  # batches of a feed; how many are fed may differ from process to process


@dataclass(frozen=True)
class Result:
    """What the steps of a workload led to."""

    losses: tuple[float, ...] = ()  # of every step
    test_accuracy: float | None = None  # fraction of the test images
    data_sha256: str | None = None  # of what was fed while training


class Train:
    """Optimizer steps from the same weights over the same batches, then the test accuracy.

    `rates` holds the learning rate of every step. `feed`, where there is one, yields a batch for
    each; else the batches that were placed come round again and again.
    """

    def __init__(
        self,
        implementation: Implementation,
        rates: Sequence[float] | np.ndarray,
        feed: Iterator[Batch] | None = None,
    ) -> None:
        self.implementation = implementation
        self.rates = [float(rate) for rate in rates]
        self.rate = self.rates[0]  # the one in force
        self.feed = feed
        self.fed: list[str] = []  # fingerprints of the first batches
        self.losses: list[np.ndarray] = []

    def prepare(self, steps: int) -> None:
        """Place what the next `steps` steps need; not to be timed."""
        if self.feed:
            batches = list(islice(self.feed, steps))
            for images, labels in batches[: max(0, FINGERPRINTED - len(self.fed))]:
                self.fed.append(fingerprint({"images": images, "labels": labels}))
            images, labels = map(np.stack, zip(*batches, strict=True))
            self.implementation.place(images, labels)

    def spent_s(self) -> tuple[float | None, float | None]:
        """Seconds of a block that its input took: waiting for batches, and placing them; None
        where batches are placed before it.
        """
        return None, None

    def run(self, steps: int) -> None:
        """Take the next `steps` steps, without a pause but where the learning rate changes; those
        beyond the last of `rates` go on at that.
        """
        done, last = sum(map(len, self.losses)), len(self.rates) - 1
        rates = (self.rates[min(step, last)] for step in range(done, done + steps))
        for rate, count in stretches(rates):
            if rate != self.rate:
                self.implementation.set_learning_rate(rate)
                self.rate = rate
            self._run(count)

    def _run(self, steps: int) -> None:
        losses = self.implementation.train(steps)
        self.losses.append(losses)
        if np.shape(losses) != (steps,):
            raise ValueError(f"train({steps}) returned losses of shape {np.shape(losses)}")

    def outcome(self, data: Dataset, batch_size: int) -> Result:
        """Losses of all steps and the accuracy of the state they led to.

        Raises ValueError where a loss is not a finite number.
        """
        losses = np.concatenate(self.losses).astype(np.float32)
        if not np.isfinite(losses).all():
            step = int(np.flatnonzero(~np.isfinite(losses))[0]) + 1
            raise ValueError(f"the training loss became {losses[step - 1]} at step {step}")
        return Result(
            losses=tuple(map(float, losses)),
            test_accuracy=accuracy(self.implementation, data, batch_size),
            data_sha256=sha256("".join(self.fed).encode()).hexdigest() if self.feed else None,
        )


class Infer:
    """Batched forward passes in evaluation mode."""

    def __init__(self, implementation: Implementation, trained: bool) -> None:
        self.implementation = implementation
        self.trained = trained

    def prepare(self, steps: int) -> None:
        """Nothing: the batches are where they belong."""

    def spent_s(self) -> tuple[float | None, float | None]:
        """As of training."""
        return None, None

    def run(self, steps: int) -> None:
        self.logits = self.implementation.infer(steps)

    def outcome(self, data: Dataset, batch_size: int) -> Result:
        """The accuracy of weights that were loaded; untrained ones have none worth a column.

        Raises ValueError where the last pass gave no logits.
        """
        _checked("infer", self.logits, batch_size)
        if not self.trained:
            return Result()
        return Result(test_accuracy=accuracy(self.implementation, data, batch_size))


def accuracy(implementation: Implementation, data: Dataset, batch_size: int) -> float:
    """Fraction of the test images that are classified rightly, 0 to 1.

    Every batch is full, the last one with repeated images whose answers are not counted, so that
    no framework has to compile for a second shape. Raises ValueError for logits that are not
    numbers.
    """
    right, total = 0, len(data.test_labels)
    for start in range(0, total, batch_size):
        index = np.arange(start, start + batch_size)
        logits = implementation.predict(data.test_images[index % total])
        logits = _checked("predict", logits, batch_size)
        counted = index[index < total]
        answers = logits.argmax(axis=1)[: len(counted)]
        right += int((answers == data.test_labels[counted]).sum())
    return right / total


def _checked(call: str, logits: np.ndarray, batch_size: int) -> np.ndarray:
    logits = np.asarray(logits)
    if logits.ndim != 2 or len(logits) != batch_size or not np.isfinite(logits).all():
        raise ValueError(f"{call} returned no finite logits (shape {logits.shape})")
    return logits
