"""Replicates that were measured again since the machine was busy, and which attempt counts.

What is measured again is a replicate of a contest as a whole, with all its cells side by side: a
cell alone would have no rivals in its rounds, and no ratio. So one attempt counts for all of them:
that in which the fewest were busy. Speeds play no part in this choice, and so are not favoured.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from bench.cells import Cell
from bench.records import Record

Group = tuple[Any, ...]  # run, place, what is measured side by side, and its replicate


def counted(records: Iterable[Record]) -> list[Record]:
    """The rows that count: of a replicate that was measured again those of one attempt, and all
    that failed, whenever that was.
    """
    rows = list(records)
    if not any(row.attempt for row in rows):
        return rows
    chosen = {key: _chosen(group) for key, group in _groups(rows).items()}
    return [row for row in rows if row.status != "ok" or row.attempt == chosen[_group(row)]]


def disturbed(records: Iterable[Record], most: int) -> dict[int, list[tuple[Cell, int]]]:
    """What is to be measured again: the number of the next attempt -> its cells and replicates.

    That is each replicate of a contest whose counted attempt has a busy row, until it had `most`
    further attempts. An attempt that was interrupted is none. A cell that failed is left out, as
    it would fail on.
    """
    found: dict[int, list[tuple[Cell, int]]] = {}
    for group in _groups(records).values():
        chosen, failed = _chosen(group), {row.cell for row in group if row.status != "ok"}
        busy = {row.cell for row in group if row.attempt == chosen and row.busy}
        if not busy - failed:
            continue
        cells = [cell for cell in dict.fromkeys(row.cell for row in group) if cell not in failed]
        attempts = {row.attempt for row in group}
        whole = [
            attempt
            for attempt in attempts - {0}
            if {row.cell for row in group if row.attempt == attempt} >= set(cells)
        ]
        if len(whole) < most:
            tasks = [(cell, group[0].replicate) for cell in cells]
            found.setdefault(1 + max(attempts), []).extend(tasks)
    return found


def _groups(records: Iterable[Record]) -> dict[Group, list[Record]]:
    groups: dict[Group, list[Record]] = {}
    for row in records:
        groups.setdefault(_group(row), []).append(row)
    return groups


def _group(row: Record) -> Group:
    return row.run_id, row.machine, row.processor, row.cell.beside, row.replicate


def _chosen(group: Sequence[Record]) -> int:
    """The attempt that counts: whole if one is, then the least busy, then the first."""
    good = [row for row in group if row.status == "ok"]

    def trouble(attempt: int) -> tuple[int, int, int]:
        rows = [row for row in good if row.attempt == attempt]
        return -len({row.cell for row in rows}), sum(row.busy is True for row in rows), attempt

    return min({row.attempt for row in group}, key=trouble)
