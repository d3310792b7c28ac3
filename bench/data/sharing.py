"""Datasets that all workers of a run share: read once, in a subprocess, as files that they map."""

import json
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bench import processes
from bench.cells import LARGEST, Cell, obstacle
from bench.data.datasets import ARRAYS, Dataset, load
from bench.errors import UsageError
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
    with tempfile.TemporaryDirectory(prefix="resnet-bench-") as temporary:
        folders: dict[Cell, Path] = {}
        for (name, image_size, classes), members in groups.items():
            folder = Path(temporary) / f"{name}-{image_size}-{classes}"
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


def prepare(folder: Path, **request: Any) -> None:
    """Have a process of its own `load` a dataset into `folder`; `request` is what `load` takes.

    Raises UsageError as `load` does.
    """
    folder.mkdir(parents=True)
    arguments = json.dumps(request, default=str)
    code = processes.run(__spec__.name, arguments, str(folder))
    error = folder / "error"
    if error.exists():
        raise UsageError(error.read_text(encoding="utf-8"))
    if code:
        raise UsageError(f"reading {request['name']} failed with code {code}")


def main() -> int:
    request, folder = json.loads(sys.argv[1]), Path(sys.argv[2])
    request["data_dir"] = request["data_dir"] and Path(request["data_dir"])
    try:
        dataset = load(request.pop("name"), **request)
    except UsageError as error:
        (folder / "error").write_text(str(error), encoding="utf-8")
        return 2
    for name in ARRAYS:
        np.save(folder / f"{name}.npy", getattr(dataset, name))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
