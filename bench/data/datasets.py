"""Datasets as arrays, fitted to a network: enlarged by whole pixels and standardised.

The libraries that read a dataset never enter a process that measures: see `sharing.py`.
"""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench import cache
from bench.cells import DATASETS, Cell
from bench.errors import UsageError, unknown
from resnet_impls.architecture import ARCHITECTURES

# Files of CIFAR-10's binary version -> how many images each holds
CIFAR10_TRAIN = {f"data_batch_{number}.bin": 10_000 for number in range(1, 6)}
CIFAR10_TEST = {"test_batch.bin": 10_000}
CIFAR10_ROW = 3073  # bytes: a label, then 32x32 red, green and blue values
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
    return {"digits": 360, "cifar10": 10_000}.get(cell.dataset)


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


def cifar10(folder: Path | None) -> tuple[np.ndarray, ...]:
    """CIFAR-10, 50,000 training and 10,000 test images of 32x32 (Krizhevsky, 2009).

    `folder` holds either the binary version (`data_batch_*.bin`, `test_batch.bin`) or the Python
    version in `cifar-10-batches-py`, whose checksums torchvision verifies before it reads them.
    None downloads the latter. Raises UsageError where the files are missing or damaged.
    """
    if folder is not None:
        try:
            found = folder.is_dir()
        except OSError:  # such as a name that is too long
            found = False
        if not found:
            raise UsageError(f"--data-dir {folder}: there is no such folder")
        for candidate in (folder, folder / "cifar-10-batches-bin"):
            if (candidate / "test_batch.bin").exists():
                return _cifar10_binary(candidate)
        if not (folder / "cifar-10-batches-py").is_dir():
            raise UsageError(
                f"--data-dir {folder}: holds neither cifar-10-batches-py nor data_batch_*.bin and "
                "test_batch.bin; unpack CIFAR-10's archive there"
            )
    return _cifar10_torchvision(folder)


def _cifar10_binary(folder: Path) -> tuple[np.ndarray, ...]:
    arrays: list[np.ndarray] = []
    for images in (CIFAR10_TRAIN, CIFAR10_TEST):
        data = np.concatenate([_rows(folder / name, count) for name, count in images.items()])
        arrays += [data[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), data[:, 0]]
    return tuple(arrays)


def _rows(file: Path, count: int) -> np.ndarray:
    """The images of a file of the binary version, (N, CIFAR10_ROW); all of them, or UsageError."""
    if not file.is_file():
        raise UsageError(f"--data-dir: {file} is missing; unpack CIFAR-10 again")
    wanted = count * CIFAR10_ROW
    if (size := file.stat().st_size) != wanted:
        problem = f"{file} is damaged: it has {size:,} bytes, and CIFAR-10's has {wanted:,}"
        raise UsageError(f"--data-dir: {problem}; unpack CIFAR-10 again")
    content = np.fromfile(file, np.uint8).reshape(-1, CIFAR10_ROW)
    if content[:, 0].max() > 9:
        raise UsageError(f"--data-dir: {file} is damaged; unpack CIFAR-10 again")
    return content


def _cifar10_torchvision(folder: Path | None) -> tuple[np.ndarray, ...]:
    try:
        from torchvision.datasets import CIFAR10
    except ImportError:
        raise UsageError(
            "--dataset cifar10 is read by torchvision, which is not installed: install it, or give "
            "the binary version by --data-dir"
        ) from None
    arrays: list[np.ndarray] = []
    place = folder or cache.writable(cache.folder())
    for train in (True, False):
        try:
            with nullcontext() if folder else cache.updating("cifar10"):  # one run downloads it
                part = CIFAR10(place, train=train, download=folder is None)
        except (RuntimeError, OSError) as error:  # RuntimeError: a checksum is wrong
            if folder is not None:
                message = (
                    f"--data-dir {folder}: cifar-10-batches-py is damaged or incomplete; unpack "
                    "CIFAR-10 again"
                )
            else:
                message = f"CIFAR-10 could not be downloaded ({error}): give a folder by --data-dir"
            raise UsageError(message) from None
        arrays += [part.data, np.array(part.targets)]
    return tuple(arrays)


def check(name: str, images: int, pixels: int, image_size: int, batch_size: int) -> None:
    """Raises UsageError where a dataset of so many training images of so many pixels does not fit a
    network for `image_size`, or has not enough of them for a batch.
    """
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
    elif name == "cifar10":
        arrays = cifar10(data_dir)
    elif name == "synthetic":
        arrays = synthetic(image_size, classes, many)
    else:
        raise UsageError(unknown("dataset", name, DATASETS))
    train_images, train_labels, test_images, test_labels = arrays
    check(name, len(train_labels), train_images.shape[1], image_size, batch_size)
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
