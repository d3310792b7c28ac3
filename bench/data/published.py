"""Datasets as their authors publish them: where they lie, their checksums, and how they are had."""

import hashlib
import io
import pickle
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import cache
from bench.errors import UsageError

LARGEST = 256 * 2**20  # bytes of a file in an archive: CIFAR-100's largest has 155 million


@dataclass(frozen=True)
class Published:
    """A dataset in files, alone or in an archive, which is never unpacked to a disk."""

    title: str
    source: str  # of the checksums
    address: str  # of the folder that holds the archive or the files
    archive: tuple[str, str] | None  # its name and MD5
    folder: str  # of the files within the archive, and where it was unpacked
    files: Mapping[str, str]  # name -> MD5


KRIZHEVSKY = "https://www.cs.toronto.edu/~kriz"
PUBLISHED = {
    "cifar10": Published(
        title="CIFAR-10",
        source="torchvision 0.29.1, datasets/cifar.py",
        address=KRIZHEVSKY,
        archive=("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a"),
        folder="cifar-10-batches-py",
        files={
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
            "test_batch": "40351d587109b95175f43aff81a1287e",
        },
    ),
    "cifar100": Published(
        title="CIFAR-100",
        source="torchvision 0.29.1, datasets/cifar.py",
        address=KRIZHEVSKY,
        archive=("cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85"),
        folder="cifar-100-python",
        files={
            "train": "16019d7e3df5f24257cddd939b257f8d",
            "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        },
    ),
    "svhn": Published(
        title="SVHN",
        source="torchvision 0.29.1, datasets/svhn.py",
        address="http://ufldl.stanford.edu/housenumbers",
        archive=None,
        folder="",
        files={
            "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
            "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
        },
    ),
}


def contents(name: str, data_dir: Path | None) -> dict[str, bytes]:
    """The files of a dataset, each with the published checksum; without `data_dir` downloaded.

    Raises UsageError where a file is missing, cut, or another than what was published.
    """
    dataset = PUBLISHED[name]
    if data_dir is not None:
        return _checked(dataset, _of_folder(dataset, data_dir), f"--data-dir {data_dir}: ")
    if dataset.archive is None:
        files = {file: _downloaded(dataset, file, md5) for file, md5 in dataset.files.items()}
        return {file: path.read_bytes() for file, path in files.items()}
    path = _downloaded(dataset, *dataset.archive)
    return _checked(dataset, _of_archive(dataset, path), f"{path}: ")


def _checked(
    dataset: Published, read: Callable[[str], bytes | None], where: str
) -> dict[str, bytes]:
    found = {}
    for file, md5 in dataset.files.items():
        content = read(file)
        if content is None or hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
            what = "missing" if content is None else "damaged"
            place = f"{dataset.folder or dataset.title} is damaged or incomplete ({file}: {what})"
            raise UsageError(f"{where}{place}; get {dataset.title} again")
        found[file] = content
    return found


def _of_folder(dataset: Published, data_dir: Path) -> Callable[[str], bytes | None]:
    def read(file: str) -> bytes | None:
        path = data_dir / dataset.folder / file
        try:
            return path.read_bytes() if path.is_file() else None
        except OSError:
            return None

    return read


def _of_archive(dataset: Published, path: Path) -> Callable[[str], bytes | None]:
    """Reads ordinary files by their names, whatever else is in the archive."""

    def read(file: str) -> bytes | None:
        try:
            with tarfile.open(path) as archive:
                member = archive.getmember(f"{dataset.folder}/{file}")
                if not member.isfile() or member.size > LARGEST:
                    return None
                content = archive.extractfile(member)
                return content.read() if content else None
        except (KeyError, OSError, EOFError, tarfile.TarError):
            return None

    return read


def _downloaded(dataset: Published, file: str, md5: str) -> Path:
    """A file in the cache, from its source where it is not there or not whole."""
    place = cache.writable(cache.folder())
    try:
        import pooch
    except ImportError:
        raise UsageError(
            f"{dataset.title} is downloaded by pooch, which is not installed: pip install pooch, "
            "or give a folder by --data-dir"
        ) from None
    pooch.get_logger().setLevel("ERROR")
    try:
        with cache.updating(file):  # one run downloads it
            address = f"{dataset.address}/{file}"
            return Path(pooch.retrieve(address, f"md5:{md5}", fname=file, path=place))
    except (OSError, ValueError) as error:  # ValueError: another checksum
        reason = " ".join(str(error).split())
        raise UsageError(
            f"{dataset.title} could not be downloaded ({reason}): give a folder by --data-dir"
        ) from None


class _Arrays(pickle.Unpickler):
    """Reads numbers, texts, lists, dictionaries and arrays, and calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """The four names that an array needs. Raises UnpicklingError for any other."""
        import _codecs

        import numpy as np

        if (module, name) == ("_codecs", "encode"):
            return _codecs.encode
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return np.array(0).__reduce__()[0]
        raise pickle.UnpicklingError(f"{module}.{name} is no part of an array")


def unpickled(content: bytes) -> dict[str, Any]:
    """A pickle of Python 2 that holds arrays and lists by name. Raises UnpicklingError."""
    found = _Arrays(io.BytesIO(content), encoding="latin1").load()
    if not isinstance(found, dict):
        raise pickle.UnpicklingError("it is no dictionary")
    return found
