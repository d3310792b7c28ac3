"""Datasets as arrays, fitted to a network: enlarged by whole pixels and standardised.

The libraries that read a dataset never enter a process that measures: see `sharing.py`.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.cells import DATASETS, Cell
from bench.data.images import READERS
from bench.errors import UsageError, unknown
from resnet_impls.architecture import ARCHITECTURES

CLASSES = {"digits": 10, "cifar10": 10, "cifar100": 100, "svhn": 10}
SMALL = 64  # pixels: larger synthetic images are fewer, so that files stay below 1.3 GiB


def synthetic_counts(image_size: int, many: bool = False) -> tuple[int, int]:
    """How many synthetic images there are to train and to test; `many`: for the largest batch."""
    train, test = (2048, 512) if image_size <= SMALL else (512, 128)
    largest = 16384 if image_size <= SMALL else 2048
    return largest if many else train, test


def images_tested(cell: Cell) -> int | None:
    """How many images the test accuracy of `cell` is of; None where its data are not known here."""
    if cell.dataset == "synthetic" and cell.model in ARCHITECTURES:
        return synthetic_counts(ARCHITECTURES[cell.model].image_size)[1]
    return {"digits": 360, "cifar10": 10_000, "cifar100": 10_000, "svhn": 26_032}.get(cell.dataset)


@dataclass(frozen=True)
class Dataset:
    """Images (N, H, W, 3) float32 with mean 0 and deviation 1 over the training set; labels (N,)
    int32."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray

    def batches(self, batch_size: int, steps: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """One epoch in an order drawn from `seed`, or the first `steps` batches of it.

        Returns images (K, B, H, W, 3) and labels (K, B); a last batch that is not full is dropped.
        """
        count = min(steps, len(self.train_labels) // batch_size)
        order = np.random.default_rng(seed).permutation(len(self.train_labels))
        order = order[: count * batch_size].reshape(count, batch_size)
        return self.train_images[order], self.train_labels[order]


ARRAYS = tuple(Dataset.__annotations__)


def digits() -> tuple[np.ndarray, ...]:
    """1,797 handwritten digits, 8x8, grey to RGB; 1,437 to train and 360 to test.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits (1998), the test
    set; UCI Machine Learning Repository, doi:10.24432/C50P49, CC BY 4.0.
    """
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as file:
        images, labels = file["images"].astype(np.float64), file["labels"].astype(np.int64)
    images = np.repeat(images.reshape(-1, 8, 8, 1), 3, axis=3)
    order = np.random.default_rng(0).permutation(len(labels))  # the same split in every run
    train, test = order[:1437], order[1437:]
    return images[train], labels[train], images[test], labels[test]


def synthetic(image_size: int, classes: int, many: bool) -> tuple[np.ndarray, ...]:
    """Noise with random labels: for speed where no data is at hand; nothing can be learnt."""
    stream = np.random.default_rng(0)
    arrays: list[np.ndarray] = []
    for count in synthetic_counts(image_size, many):
        arrays.append(stream.standard_normal((count, image_size, image_size, 3), np.float32))
        arrays.append(stream.integers(0, classes, count))
    return tuple(arrays)


def check(
    name: str, images: int, pixels: int, image_size: int, batch_size: int, classes: int
) -> None:
    """Raises UsageError where a dataset of so many training images of so many pixels does not fit a
    network for `image_size` and `classes`, or has not enough of them for a batch.
    """
    if classes < CLASSES.get(name, classes):
        raise UsageError(
            f"--dataset {name}: has {CLASSES[name]} classes, and the model tells {classes}: choose "
            "a model for as many, such as resnet20-100"
        )
    if batch_size > images:
        raise UsageError(
            f"--batch-size {batch_size} is larger than the {images} training images of {name}: "
            "choose at most that"
        )
    if image_size % pixels or image_size < pixels:
        raise UsageError(
            f"--dataset {name}: its images of {pixels} pixels cannot be enlarged by whole pixels "
            f"to the {image_size} that the model takes; use --dataset synthetic"
        )


def load(
    name: str,
    *,
    image_size: int,
    classes: int,
    data_dir: Path | None,
    batch_size: int,
    many: bool = False,
) -> Dataset:
    """Read a dataset and fit it to a network: enlarged by whole pixels, standardised.

    `many` is for batches as large as memory holds: synthetic data then have more images. Raises
    UsageError where it cannot be had, or holds fewer images than `batch_size`.
    """
    if name == "digits":
        arrays = digits()
    elif name in READERS:
        arrays = READERS[name](data_dir)
    elif name == "synthetic":
        arrays = synthetic(image_size, classes, many)
    else:
        raise UsageError(unknown("dataset", name, DATASETS))
    train_images, train_labels, test_images, test_labels = arrays
    check(name, len(train_labels), train_images.shape[1], image_size, batch_size, classes)
    factor = image_size // train_images.shape[1]
    mean = np.float32(train_images.mean(dtype=np.float64))
    deviation = np.float32(train_images.std(dtype=np.float64))

    def fit(images: np.ndarray) -> np.ndarray:
        images = (images.astype(np.float32) - mean) / deviation
        return images.repeat(factor, axis=1).repeat(factor, axis=2)

    return Dataset(
        fit(train_images),
        train_labels.astype(np.int32),
        fit(test_images),
        test_labels.astype(np.int32),
    )
