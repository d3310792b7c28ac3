"""PyTorch's own: a `Dataset` of augmented images, and a `DataLoader` with processes."""

import sys
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from bench.data.augmentation import SHIFT, Batch, Draw

Key = tuple[int, int, int, bool]  # which image, its corner from the top and left, mirrored or not


class Augmented(Dataset):
    """Images (H, W, 3), as implementations are given them, each cut out of its frame by its key."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images, self.labels = images, labels

    def __getitem__(self, key: Key) -> tuple[Tensor, int]:
        index, top, left, mirrored = key
        # a copy: PyTorch warns of memory that cannot be written to, such as a mapped file's
        image = torch.from_numpy(np.array(self.images[index]))
        height, width, _ = image.shape
        framed = functional.pad(image, (0, 0, *(SHIFT,) * 4))
        image = framed[top : top + height, left : left + width]
        return image.flip(1) if mirrored else image, int(self.labels[index])


def keys(draws: Iterator[Draw]) -> Iterator[list[Key]]:
    """The keys of each batch: what a `batch_sampler` yields."""
    for draw in draws:
        rows = zip(draw.index.tolist(), draw.corners.tolist(), draw.mirrored.tolist(), strict=True)
        yield [(index, top, left, mirrored) for index, (top, left), mirrored in rows]


def feed(
    images: np.ndarray, labels: np.ndarray, draws: Iterator[Draw], processors: int
) -> Iterator[Batch]:
    """The batches of `draws`, made by one process for every second of the `processors`.

    The processes are started here, before a framework has begun threads that a fork would lose.
    """
    loader = DataLoader(
        Augmented(images, labels),
        batch_sampler=keys(draws),
        num_workers=max(1, processors // 2),  # the others are left to the steps
        multiprocessing_context="fork" if sys.platform == "linux" else None,
    )
    return _arrays(iter(loader))


def _arrays(batches: Iterator[list[Tensor]]) -> Iterator[Batch]:
    for images, labels in batches:  # (B, H, W, 3) float32, (B,) int64
        yield images.numpy(), labels.to(torch.int32).numpy()
