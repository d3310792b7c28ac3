"""What the compilers of frameworks keep, handed from one process of a cell to its next.

For runs whose minutes count, as on a GPU that is lent: they compile a cell once, not once in each
of its processes. The first process finds nothing, so the time of its first step is that of any
other run; those after it are called warm, and have no such time.
"""

from pathlib import Path

from bench import guardian
from bench.cells import Cell


class CompileCaches:
    """A folder below `path` for each cell, which no other cell's processes ever see; without a
    `path` there is none, and each process compiles for itself.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.folders: dict[Cell, Path] = {}

    def of(self, cell: Cell) -> Path | None:
        """The cell's folder; None where each process compiles for itself, as where its first step
        is part of the time that it measures.
        """
        if self.path is None or cell.target_accuracy is not None:
            return None
        if cell not in self.folders:
            # numbered: a name made of a cell may be that of another, where file names are short
            self.folders[cell] = self.path / str(len(self.folders))
            self.folders[cell].mkdir()
        return self.folders[cell]

    def warm(self, cell: Cell) -> bool | None:
        """Whether the next process of the cell finds what an earlier one compiled; None where each
        compiles for itself.
        """
        folder = self.of(cell)
        return None if folder is None else any(path.is_file() for path in folder.rglob("*"))

    def forget(self, cell: Cell) -> None:
        """Empty the cell's folder, as after a process that may have left half a file."""
        if folder := self.folders.get(cell):
            guardian.remove(str(folder))
            folder.mkdir()
