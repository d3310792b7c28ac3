"""CIFAR-10, CIFAR-100 and SVHN: 32x32 images, as their authors' files hold them."""

import io
from pathlib import Path

import numpy as np

from bench.data.published import PUBLISHED, contents, unpickled
from bench.errors import UsageError

# Files of CIFAR's binary versions -> how many images each holds
CIFAR10_TRAIN = {f"data_batch_{number}.bin": 10_000 for number in range(1, 6)}
CIFAR10_TEST = {"test_batch.bin": 10_000}
CIFAR10_ROW = 3073  # bytes: a label, then 32x32 red, green and blue values

Arrays = tuple[np.ndarray, ...]  # images (N, 32, 32, 3) and labels (N,), to train and to test


def cifar10(folder: Path | None) -> Arrays:
    """CIFAR-10, 50,000 training and 10,000 test images of 32x32 (Krizhevsky, 2009).

    `folder` holds either the binary version (`data_batch_*.bin`, `test_batch.bin`) or the Python
    version in `cifar-10-batches-py`. None downloads the latter. Raises UsageError where the files
    are missing or damaged.
    """
    if folder is not None:
        _check_folder(folder)
        for candidate in (folder, folder / "cifar-10-batches-bin"):
            if (candidate / "test_batch.bin").exists():
                return _cifar10_binary(candidate)
        if not (folder / "cifar-10-batches-py").is_dir():
            raise UsageError(
                f"--data-dir {folder}: holds neither cifar-10-batches-py nor data_batch_*.bin and "
                "test_batch.bin; unpack CIFAR-10's archive there"
            )
    files = contents("cifar10", folder)
    train = [content for name, content in files.items() if name.startswith("data_batch")]
    return (*_python(train, "labels"), *_python([files["test_batch"]], "labels"))


def cifar100(folder: Path | None) -> Arrays:
    """CIFAR-100, 50,000 training and 10,000 test images of 100 classes (Krizhevsky, 2009).

    `folder` holds the Python version in `cifar-100-python`; None downloads it. Raises UsageError
    where the files are missing or damaged.
    """
    _check_folder(folder)
    files = contents("cifar100", folder)
    return (*_python([files["train"]], "fine_labels"), *_python([files["test"]], "fine_labels"))


def svhn(folder: Path | None) -> Arrays:
    """Street View House Numbers, 73,257 training and 26,032 test digits (Netzer et al., 2011).

    `folder` holds `train_32x32.mat` and `test_32x32.mat`; None downloads them. Raises UsageError
    where they are missing or damaged.
    """
    _check_folder(folder)
    try:
        from scipy.io import loadmat
    except ImportError:
        raise UsageError(
            "--dataset svhn is read by scipy, which is not installed: pip install scipy"
        ) from None
    arrays: list[np.ndarray] = []
    for content in contents("svhn", folder).values():
        found = loadmat(io.BytesIO(content), variable_names=("X", "y"))
        arrays += [found["X"].transpose(3, 0, 1, 2), found["y"].reshape(-1) % 10]  # 10 is a 0
    return tuple(arrays)


READERS = {"cifar10": cifar10, "cifar100": cifar100, "svhn": svhn}
assert READERS.keys() == PUBLISHED.keys()


def _check_folder(folder: Path | None) -> None:
    try:
        found = folder is None or folder.is_dir()
    except OSError:  # such as a name that is too long
        found = False
    if not found:
        raise UsageError(f"--data-dir {folder}: there is no such folder")


def _python(files: list[bytes], labels: str) -> tuple[np.ndarray, np.ndarray]:
    """The images and labels of files of a Python version, whose checksums are right."""
    parts = [unpickled(content) for content in files]
    rows = np.concatenate([part["data"] for part in parts])  # (N, 3072): red, green, blue
    images = rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return images, np.concatenate([np.array(part[labels]) for part in parts])


def _cifar10_binary(folder: Path) -> Arrays:
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
