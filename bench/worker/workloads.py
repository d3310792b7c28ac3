"""What a worker does inside a block, and what the blocks led to."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice, pairwise
from time import perf_counter

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
        self.callers = [implementation]
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

    def latencies_ms(self, steps: int) -> list[float]:
        """Of so many single steps, each from an idle device to an idle device."""
        return single_ms(self, steps)

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
        self.callers = [implementation]
        self.trained = trained

    def prepare(self, steps: int) -> None:
        """Nothing: the batches are where they belong."""

    def spent_s(self) -> tuple[float | None, float | None]:
        """As of training."""
        return None, None

    def run(self, steps: int) -> None:
        self.logits = self.implementation.infer(steps)

    def latencies_ms(self, steps: int) -> list[float]:
        """As of training."""
        return single_ms(self, steps)

    def outcome(self, data: Dataset, batch_size: int) -> Result:
        """The accuracy of weights that were loaded; untrained ones have none worth a column.

        Raises ValueError where the last pass gave no logits.
        """
        _checked("infer", self.logits, batch_size)
        if not self.trained:
            return Result()
        return Result(test_accuracy=accuracy(self.implementation, data, batch_size))


class InferStreams(Infer):
    """Requests of one batch each, as many under way at once as there are streams.

    Each stream is a caller in a thread of its own, which asks again as soon as it is answered: a
    closed loop, as of MLPerf's offline scenario with few clients, not of its server, whose requests
    come at random times. A step is one request of each stream; whichever is free takes the next.
    """

    def __init__(
        self,
        implementation: Implementation,
        trained: bool,
        streams: int,
        images: np.ndarray,
        labels: np.ndarray,
    ) -> None:
        """Raises NotImplementedError where the implementation answers one request at a time."""
        super().__init__(implementation, trained)
        if not hasattr(implementation, "streams"):
            raise NotImplementedError("infer-streams needs a method streams(count)")
        self.callers = implementation.streams(streams)
        for index, caller in enumerate(self.callers):  # each begins with another batch
            caller.place(np.roll(images, -index, axis=0), np.roll(labels, -index, axis=0))
        self.threads = ThreadPoolExecutor(streams)

    def run(self, steps: int) -> None:
        requests = iter(range(steps * len(self.callers)))  # each is taken by one thread alone

        def serve(caller: Implementation) -> np.ndarray | None:
            logits = None
            for _ in requests:
                logits = caller.infer(1)
            return logits

        answers = list(self.threads.map(serve, self.callers))
        self.logits = next(logits for logits in answers if logits is not None)

    def latencies_ms(self, steps: int) -> list[float]:
        """Of each request of so many steps, from its start to its answer, beside all others."""
        requests = iter(range(steps * len(self.callers)))

        def serve(caller: Implementation) -> list[float]:
            times = [perf_counter()]
            for _ in requests:
                caller.infer(1)
                times.append(perf_counter())
            return [(end - start) * 1e3 for start, end in pairwise(times)]

        return [each for times in self.threads.map(serve, self.callers) for each in times]


def single_ms(workload: Train | Infer, steps: int) -> list[float]:
    """Milliseconds of so many single steps."""
    ends = [perf_counter()]
    for _ in range(steps):
        workload.run(1)
        ends.append(perf_counter())
    return [(end - start) * 1e3 for start, end in pairwise(ends)]


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
