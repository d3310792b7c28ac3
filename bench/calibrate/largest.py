"""`--batch-size max`: the largest batch that fits, found by trying in processes that may fail.

On a GPU its memory is the limit. On a CPU each trial may allocate what is available but for a
reserve, so that it fails with an error long before the machine runs out of memory. A batch cannot
hold more images than the dataset has.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from bench.cells import LARGEST, Cell, obstacle
from bench.data import datasets as data
from bench.parent.child import Child, Failure
from bench.parent.memory_budget import MEMORY_FRACTION

FIRST = 64  # what is tried first, then doubled or halved
WIDTH = 0.05  # relative: from here on a closer answer is not worth a process


def found(
    asked: dict[str, Any],
    cells: Sequence[Cell],
    folders: Mapping[Cell, Path],
    timeout_s: float,
    say: Callable[[str], None],
) -> tuple[list[Cell], dict[Cell, Path]]:
    """`cells` and their data `folders`, with a number in each cell that asks for the largest batch.

    What is found is kept in `asked`, so that a run that is resumed goes on with the same numbers.
    A cell that cannot run at all gets 1, and tells why when it is measured.
    """
    if all(cell.batch_size != LARGEST for cell in cells):
        return list(cells), dict(folders)
    known = asked.setdefault("largest_batches", {})
    numbered: dict[Cell, None] = {}
    placed = {}
    for cell in cells:
        actual = cell
        if cell.batch_size == LARGEST:
            name = f"{cell.implementation} {cell.label} {cell.contest_label}"
            if name not in known and obstacle(cell) is None:
                say(f"largest batch of {cell.label} {cell.contest_label}")
                known[name] = _largest(cell, folders[cell], timeout_s, say)
            actual = replace(cell, batch_size=known.get(name) or 1)
        numbered[actual] = None
        if cell in folders:
            placed[actual] = folders[cell]
    return list(numbered), placed


def search(fits: Callable[[int], bool], most: int) -> int:
    """The largest size from 1 to `most` that fits, to within WIDTH; 0 where not even 1 does."""
    good, bad = 0, most + 1
    size = min(FIRST, most)
    while bad - good > max(1, WIDTH * good if bad <= most else 0):
        if fits(size):
            good = size
        else:
            bad = size
        size = min(2 * good, most) if bad > most else (good + bad) // 2
    return good


def _largest(cell: Cell, folder: Path, timeout_s: float, say: Callable[[str], None]) -> int:
    """The largest batch of one cell; every trial is shown."""
    most = len(data.open_folder(folder).train_labels)

    def fits(size: int) -> bool:
        obstructed = trial(replace(cell, batch_size=size), folder, timeout_s)
        say(f"  {size} fits" if obstructed is None else f"  {size} does not: {obstructed}")
        return obstructed is None

    size = search(fits, most)
    limit = f", all training images of {cell.dataset}" if size == most else ""
    say(f"  largest: {size}{limit}")
    return size


def trial(cell: Cell, folder: Path, timeout_s: float) -> str | None:
    """Why `cell` cannot be built and run for two steps, as `status: reason`; None where it can."""
    memory_mib = None
    if cell.device == "cpu":
        memory_mib = psutil.virtual_memory().available / 2**20 * MEMORY_FRACTION
    with tempfile.TemporaryDirectory(prefix="resnet-bench-") as temporary:
        child = Child(cell, folder, Path(temporary) / "log", memory_mib)
        try:
            child.ask("build", timeout_s)
            child.ask("warm_up", timeout_s, steps=1)
        except Failure as failure:
            return f"{failure.status}: {failure.reason}"
        finally:
            child.end()
    return None
