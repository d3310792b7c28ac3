"""Comparisons for programs: `compare --json`, whose schema is results/compare.schema.json."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.cells import Cell
from bench.compare.changes import Change, Changed
from bench.compare.comparison import Comparison


@dataclass(frozen=True)
class ComparedCell:
    """One cell that both sides measured; a loss of 0.05 is 5 % of BASE's value for the worse."""

    cell: Cell
    machine: str | None  # None where each side has one
    processes_base: int
    processes_new: int
    changes: Mapping[str, Change]  # speed, time to target, host memory, device memory, accuracy
    unknown: Sequence[str]  # quantities that only one side knows
    broken: str | None  # how processes of NEW failed, where none of BASE did


@dataclass(frozen=True)
class NotCompared:
    """A cell that is not compared, and why."""

    cell: Cell
    reason: str
    broken: bool  # BASE measured it, and in NEW it failed


@dataclass(frozen=True)
class Compared:
    """One NEW against BASE."""

    base: str
    new: str
    cells: Sequence[ComparedCell]
    controls: Sequence[ComparedCell]  # what speeds are held against
    left_out: Sequence[NotCompared]
    failed: Sequence[str]  # what a gate says, each a sentence of Markdown
    undecided: Sequence[str]


def summaries(comparisons: Sequence[Comparison]) -> list[Compared]:
    """All comparisons, without their records."""
    return [
        Compared(
            base=each.base.name,
            new=each.new.name,
            cells=[_cell(cell) for cell in each.cells],
            controls=[_cell(cell) for cell in each.controls],
            left_out=[NotCompared(one.cell, one.reason, one.broken) for one in each.left_out],
            failed=each.judgement.failed,
            undecided=each.judgement.undecided,
        )
        for each in comparisons
    ]


def _cell(changed: Changed) -> ComparedCell:
    pair = changed.pair
    return ComparedCell(
        cell=pair.cell,
        machine=pair.machine,
        processes_base=len(pair.base),
        processes_new=len(pair.new),
        changes=changed.changes,
        unknown=changed.unknown,
        broken=pair.broken or None,
    )
