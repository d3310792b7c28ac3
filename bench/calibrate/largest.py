"""`--batch-size max`: the largest batch that fits, found by trying in processes that may fail.

On a GPU its memory is the limit. On a CPU each trial may allocate what is available but for a
reserve, so that it fails with an error long before the machine runs out of memory. A batch cannot
hold more images than the dataset has.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bench.cells import LARGEST, Cell
from bench.data.sharing import open_folder
from bench.obstacles import obstacle
from bench.parent.child import Failure, one_worker
from bench.parent.memory_budget import for_workers
from bench.request.request import Request
from bench.worker.environment import Environment
from bench.worker.protocol import Build, WarmUp

FIRST = 64  # what is tried first, then doubled or halved
WIDTH = 0.05  # relative: from here on a closer answer is not worth a process


def found(
    request: Request,
    cells: Sequence[Cell],
    folders: Mapping[Cell, Path],
    timeout_s: float,
    say: Callable[[str], None],
) -> Request:
    """`request` with the largest batch of each of its `cells` that asks for one.

    What it knows already is not searched for, so that a resumed run goes on with the same numbers.
    A cell that cannot run here has none. `folders` hold each cell's data.
    """
    known = dict(request.largest_batches)
    for cell in cells:
        name = _name(cell)
        if cell.batch_size == LARGEST and name not in known and obstacle(cell) is None:
            say(f"largest batch of {cell.label} {cell.contest_label}")
            known[name] = _largest(cell, folders[cell], timeout_s, say)
    return replace(request, largest_batches=known)


def numbered(
    request: Request, cells: Sequence[Cell], folders: Mapping[Cell, Path]
) -> tuple[list[Cell], dict[Cell, Path]]:
    """`cells` and their data `folders`, with the number that was `found` in each cell that asks for
    the largest batch.

    A cell of which none is known gets 1: it cannot run, and says why when it is measured.
    """
    actual = {
        cell: replace(cell, batch_size=request.largest_batches.get(_name(cell)) or 1)
        if cell.batch_size == LARGEST
        else cell
        for cell in cells
    }
    placed = {actual[cell]: folders[cell] for cell in cells if cell in folders}
    return list(dict.fromkeys(actual.values())), placed


def _name(cell: Cell) -> str:
    return f"{cell.implementation} {cell.label} {cell.contest_label}"


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
    most = len(open_folder(folder).train_labels)

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
        memory_mib = for_workers().mib
    build = Build(cell=cell, data_folder=str(folder), memory_mib=memory_mib)
    with one_worker(Environment.of(cell)) as child:
        try:
            child.ask(build, timeout_s)
            child.ask(WarmUp(steps=1), timeout_s)
        except Failure as failure:
            return f"{failure.status}: {failure.reason}"
    return None
