"""Datasets that all workers of a run share: read once, in a subprocess, as files that they map."""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench import processes
from bench.cells import LARGEST, Cell
from bench.data.datasets import ARRAYS, Dataset, load
from bench.errors import UsageError
from bench.obstacles import obstacle
from bench.temporary import TemporaryFolder
from bench.validation import parse, plain
from resnet_impls.architecture import ARCHITECTURES


@contextmanager
def shared_data(cells: Iterable[Cell], data_dir: Path | None) -> Iterator[dict[Cell, Path]]:
    """Read each dataset once, as files that all workers map; they go when the context ends.

    Yields the folder of every cell that can run. Raises UsageError where a dataset cannot be had.
    """
    groups: dict[tuple[str, int, int], list[Cell]] = {}
    for cell in cells:
        if obstacle(cell) is None:
            architecture = ARCHITECTURES[cell.model]
            key = (cell.dataset, architecture.image_size, architecture.classes)
            groups.setdefault(key, []).append(cell)
    with TemporaryFolder() as temporary:
        folders: dict[Cell, Path] = {}
        for number, ((name, image_size, classes), members) in enumerate(groups.items()):
            folder = temporary.path / str(number)
            prepare(
                folder,
                name=name,
                image_size=image_size,
                classes=classes,
                data_dir=data_dir,
                batch_size=max(cell.batch_size for cell in members),
                many=any(cell.batch_size == LARGEST for cell in members),
            )
            folders |= dict.fromkeys(members, folder)
        yield folders


def open_folder(folder: Path) -> Dataset:
    """The dataset that `prepare` left in `folder`, mapped and not copied."""
    return Dataset(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in ARRAYS))


@dataclass(frozen=True)
class Wanted:
    """What a process is to `load`."""

    name: str
    image_size: int
    classes: int
    data_dir: str | None
    batch_size: int
    many: bool


def prepare(
    folder: Path,
    *,
    name: str,
    image_size: int,
    classes: int,
    data_dir: Path | None,
    batch_size: int,
    many: bool = False,
) -> None:
    """Have a subprocess `load` a dataset, which takes the same arguments, into `folder`.

    Raises UsageError as `load` does.
    """
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise UsageError(_full(folder, error)) from None
    directory = str(data_dir) if data_dir else None
    wanted = Wanted(name, image_size, classes, directory, batch_size, many)
    code = processes.run(__spec__.name, json.dumps(plain(wanted)), str(folder))
    refusal = folder / "error"
    if refusal.exists():
        raise UsageError(refusal.read_text(encoding="utf-8"))
    if code:
        raise UsageError(f"reading {name} failed with code {code}")


def main() -> int:
    """Load what the first argument describes into the folder that the second one names."""
    wanted, folder = parse(sys.argv[1], Wanted), Path(sys.argv[2])
    try:
        dataset = load(
            wanted.name,
            image_size=wanted.image_size,
            classes=wanted.classes,
            data_dir=Path(wanted.data_dir) if wanted.data_dir else None,
            batch_size=wanted.batch_size,
            many=wanted.many,
        )
        for name in ARRAYS:
            np.save(folder / f"{name}.npy", getattr(dataset, name))
    except UsageError as error:
        return _refuse(folder, str(error))
    except OSError as error:  # such as a disk that is full
        return _refuse(folder, _full(folder, error))
    return 0


def _refuse(folder: Path, reason: str) -> int:
    for name in ARRAYS:  # on a full disk, what they take is room for the reason
        (folder / f"{name}.npy").unlink(missing_ok=True)
    (folder / "error").write_text(reason, encoding="utf-8", errors="backslashreplace")
    return 2


def _full(folder: Path, error: OSError) -> str:
    remedy = "free some, or name another place for temporary files by TMPDIR"
    return f"{folder.parent}: the images cannot be written ({error.strerror or error}); {remedy}"


if __name__ == "__main__":
    raise SystemExit(main())
