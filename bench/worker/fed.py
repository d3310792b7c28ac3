"""Training fed by an input pipeline: each batch is awaited, placed and trained on in its step."""

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from time import perf_counter

import numpy as np

from bench.cells import Cell
from bench.data.augmentation import Batch, draws
from bench.data.datasets import Dataset
from bench.machine import cpus
from bench.worker.workloads import Result, Train
from resnet_impls.contract import Implementation

SAMPLED = 3072  # values of an image of 32 by 32


def start(cell: Cell, data: Dataset) -> Iterator[Batch] | None:
    """Start the pipeline of a cell that has one; the seed decides which batches it yields."""
    if cell.input is None:
        return None
    module = importlib.import_module(f"bench.data.feeds.{cell.input}_feed")
    images, labels = data.train_images, data.train_labels
    drawn = draws(len(labels), cell.batch_size, cell.seed)
    threads = cell.threads or len(cpus.allowed())
    batches: Iterator[Batch] = module.feed(images, labels, drawn, threads)
    return batches


class TrainFed(Train):
    """Optimizer steps, each over a batch that an input pipeline hands over within the step.

    The wait for a batch and its way to the device belong to the step. `drawn` yields the batches
    that the pipeline should hand over; both sides' fingerprints are compared after the last step.
    Taking one adds some microseconds to a step.
    """

    def __init__(
        self,
        implementation: Implementation,
        rates: Sequence[float] | np.ndarray,
        pipeline: Iterator[Batch],
        drawn: Iterator[Batch],
    ) -> None:
        super().__init__(implementation, rates)
        self.pipeline = pipeline
        self.drawn = drawn
        self.seen: list[str] = []  # fingerprints
        self.ahead = [next(pipeline)]  # when the first batch is there, the pipeline runs

    def prepare(self, steps: int) -> None:
        """Nothing is placed ahead of its step; what the next block takes is counted from 0."""
        self.wait_s = self.place_s = 0.0

    def spent_s(self) -> tuple[float | None, float | None]:
        """Seconds since `prepare` of waiting for batches, and of placing them on the device."""
        return self.wait_s, self.place_s

    def _run(self, steps: int) -> None:
        losses = []
        for _ in range(steps):
            begin = perf_counter()
            images, labels = self.ahead.pop() if self.ahead else next(self.pipeline)
            got = perf_counter()
            self.implementation.place(images[None], labels[None])
            placed = perf_counter()
            self.wait_s += got - begin
            self.place_s += placed - got
            losses.append(self.implementation.train(1))
            self.seen.append(sample_print(len(self.seen), images, labels))
        self.losses.append(np.concatenate(losses))

    def outcome(self, data: Dataset, batch_size: int) -> Result:
        """As of any training. Raises ValueError too where the pipeline fed what was not drawn."""
        for step, found in enumerate(self.seen):
            if found != sample_print(step, *next(self.drawn)):
                raise ValueError(f"the input pipeline fed what was not drawn, at step {step + 1}")
        digest = sha256("".join(self.seen).encode()).hexdigest()
        return replace(super().outcome(data, batch_size), data_sha256=digest)


def sample_print(step: int, images: np.ndarray, labels: np.ndarray) -> str:
    """Fingerprint of a batch's labels and of one of its images, another one in each step; of a
    large image as many values, evenly spread.
    """
    values = images[step % len(images)].reshape(-1)
    sample = sha256(values[:: max(1, len(values) // SAMPLED)].tobytes())
    sample.update(labels.tobytes())
    return sample.hexdigest()
