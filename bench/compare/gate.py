"""`--fail-if`: which changes are bad enough to fail a comparison, and which cannot be decided.

A cell fails a limit where the change is sure (its interval leaves out no change at all, and the
verdict is still slower, more or lower among so many cells) and the estimate lies beyond the limit.
It is undecided where it does not fail, but its interval reaches beyond the limit, or where
there is no interval. A cell that ran in all processes of BASE and fails in one of NEW fails any
gate, and one that NEW never brings to its target fails that of `slower`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.cells import Cell
from bench.compare.changes import WORDS, Changed
from bench.compare.sides import LeftOut, Pair
from bench.errors import UsageError
from bench.reports.text import escape

LIMITS = {  # kind of a limit -> what it is a limit of
    "slower": ("speed", "time to target"),
    "memory": ("host memory", "device memory"),
    "accuracy": ("accuracy",),
}


@dataclass(frozen=True)
class Judgement:
    """What a gate says of one NEW: each a sentence that names the cell."""

    failed: tuple[str, ...]
    undecided: tuple[str, ...]


def limits(given: Sequence[tuple[str, float]]) -> dict[str, float]:
    """The limits of a command line by their kind. Raises UsageError where one is given twice."""
    for kind, _ in given:
        if [known for known, _ in given].count(kind) > 1:
            raise UsageError(f"--fail-if {kind}: give each limit only once")
    return dict(given)


def judge(
    cells: Sequence[Changed], left_out: Sequence[LeftOut], given: Mapping[str, float]
) -> Judgement:
    """Hold the cells against the limits; nothing fails where there are none."""
    failed, undecided = [], []
    for cell in cells:
        if given and cell.pair.broken:
            failed.append(f"{label(cell.pair.cell)}: {escape(cell.pair.broken)}")
        for kind, limit in given.items():
            for what in LIMITS[kind]:
                where = f"{label(cell.pair.cell)}: {what}"
                beyond = f"beyond {kind}={limit_text(kind, limit)}"
                if what == "time to target" and _never_again(cell.pair):
                    failed.append(f"{where}: reached by all processes of BASE, by none of NEW")
                elif what in cell.unknown:
                    undecided.append(f"{where} is known of one side only")
                if (change := cell.changes.get(what)) is None:
                    continue
                lost = part(what, change.loss)
                if change.verdict == WORDS[what][0] and change.loss > limit:
                    failed.append(f"{where} {lost}, {beyond}")
                elif change.high is None:
                    undecided.append(
                        f"{where} {lost}, from one process, which gives no interval; measure more"
                    )
                elif change.high > limit:
                    reach = part(what, change.high)
                    undecided.append(f"{where} {lost}, but its interval reaches {reach}, {beyond}")
    if given:
        failed += [f"{label(each.cell)}: {escape(each.reason)}" for each in left_out if each.broken]
    return Judgement(tuple(failed), tuple(undecided))


def _never_again(pair: Pair) -> bool:
    """Whether all processes of BASE reached their target, and none of NEW."""
    reached = [{row.reached_train_s is not None for row in rows} for rows in (pair.base, pair.new)]
    return reached == [{True}, {False}]


def label(cell: Cell) -> str:
    """A cell in a sentence of Markdown."""
    return f"{escape(cell.label)}, {escape(cell.contest_label)}"


def limit_text(kind: str, limit: float) -> str:
    """As a user writes it: `3%`, or `1pt` of accuracy."""
    return f"{100 * limit:g}{'pt' if kind == 'accuracy' else '%'}"


def part(what: str, loss: float) -> str:
    """`4.8 % slower`, `1.0 pt higher`."""
    unit = "pt" if what == "accuracy" else "%"
    return f"{100 * abs(loss):.1f} {unit} {WORDS[what][loss < 0]}"
