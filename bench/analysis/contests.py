"""One cell over all its processes, and its place among those that it is compared with."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from operator import is_
from typing import Any

from bench.analysis.groups import judged_together, letters
from bench.analysis.statistics import (
    Comparison,
    Estimate,
    Floor,
    compare,
    estimate,
    noise_floor,
    seconds_to_target,
    speed_ratio,
)
from bench.cells import Cell
from bench.records import Record


@dataclass(frozen=True)
class Summary:
    """One cell over all its processes."""

    cell: Cell
    processor: str
    records: tuple[Record, ...]  # those that are ok
    failures: tuple[Record, ...]
    throughput_images_per_s: Estimate | None
    speed_against_fastest: Estimate | None  # 1 for the fastest itself
    verdict: str | None  # `fastest`, or against that; None where it cannot be told
    group: str | None  # rows that share a letter cannot be told apart; None: nothing to tell by

    @property
    def seconds_to_target(self) -> Estimate | None:
        """Training time to the target accuracy; None unless every process got there."""
        return None if self.failures else seconds_to_target(self.records)

    @property
    def test_accuracy(self) -> float | None:
        """Median over the processes; None of synthetic data too, whose labels are noise."""
        return None if self.cell.dataset == "synthetic" else self.median("test_accuracy")

    def median(self, field: str) -> float | None:
        """Median over the processes of a numeric field of Record; None where unknown."""
        values = [value for r in self.records if (value := getattr(r, field)) is not None]
        return statistics.median(values) if values else None


def summarise(
    records: Iterable[Record], runs: Iterable[Mapping[str, Any]] = ()
) -> list[list[Summary]]:
    """The cells of each contest on each machine, fastest first, those without a speed last.

    `runs` are the `run.json` of the records; the largest noise floor among them counts.
    """
    global _last
    records = list(records)
    floors = _floors(runs)
    known, known_floors, summaries = _last
    if len(known) != len(records) or floors != known_floors or not all(map(is_, known, records)):
        summaries = _summarise(records, floors)
        _last = records, deepcopy(floors), summaries
    return summaries


# All reports of a run ask for the same, and each pair of cells takes its time: what was asked last
_last: tuple[list[Record], dict[tuple[str, str], Any], list[list[Summary]]] = ([], {}, [])


def _summarise(
    records: Sequence[Record], floors: Mapping[tuple[str, str], Any]
) -> list[list[Summary]]:
    contests: dict[tuple[object, ...], dict[Cell, list[Record]]] = {}
    for record in records:
        contest = (record.machine, record.processor, *record.cell.contest)
        contests.setdefault(contest, {}).setdefault(record.cell, []).append(record)
    return [
        _rank(cells, _floor_of((row for rows in cells.values() for row in rows), floors))
        for cells in contests.values()
    ]


def floor_of(records: Iterable[Record], runs: Iterable[Mapping[str, Any]]) -> Floor:
    """The largest noise floor among the runs that the records come from, by their `run.json`."""
    return _floor_of(records, _floors(runs))


def _floors(runs: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Any]:
    return {
        (run["run_id"], device): floor
        for run in runs
        for device, floor in run.get("noise_floor", {}).items()
    }


def _floor_of(records: Iterable[Record], floors: Mapping[tuple[str, str], Any]) -> Floor:
    sources = {(record.run_id, record.device) for record in records}
    known = [floor for source in sources if (floor := floors.get(source))]
    return partial(_largest_floor, known)


def _largest_floor(floors: Iterable[Mapping[str, Any]], processes: int) -> float:
    """Of comparisons of so many processes; where ratios are not kept, whatever their number."""
    return max((_floor(known, processes) for known in floors), default=0.0)


def _floor(known: Mapping[str, Any], processes: int) -> float:
    logs = known.get("log_ratios")
    return noise_floor(logs, processes) if logs else float(known["value"])


def _rank(cells: dict[Cell, list[Record]], floor: Floor) -> list[Summary]:
    ok = {cell: [r for r in rows if r.status == "ok"] for cell, rows in cells.items()}
    speeds = {
        cell: estimate([s for r in rows if (s := r.throughput_images_per_s)])
        for cell, rows in ok.items()
    }
    raced = {
        # of processes that train to a target, those that did not fail may be the lucky ones
        cell: [] if cell.target_accuracy and len(rows) < len(cells[cell]) else rows
        for cell, rows in ok.items()
    }
    ranked = {cell: _rate(cell, raced[cell], speeds[cell]) for cell in cells}
    order = _order(cells, raced, ranked)
    compared = _compared([raced[cell] for cell in order], floor)
    apart = {pair for pair, found in compared.items() if found.verdict in ("faster", "slower")}
    told = {row for pair, found in compared.items() if found.verdict for row in pair}
    groups = letters(sorted(told), apart)
    summaries = []
    for row, cell in enumerate(order):
        against = compared.get((0, row))
        first = Estimate(1.0) if row == 0 and ranked[cell] else None
        ahead = "fastest" if row == 0 and first and row in told else None
        summaries.append(
            Summary(
                cell=cell,
                processor=cells[cell][0].processor,
                records=tuple(ok[cell]),
                failures=tuple(r for r in cells[cell] if r.status != "ok"),
                throughput_images_per_s=speeds[cell],
                speed_against_fastest=against.ratio if against else first,
                verdict=against.verdict if against else ahead,
                group=groups.get(row),
            )
        )
    return summaries


def _order(
    cells: Iterable[Cell], raced: Mapping[Cell, Sequence[Record]], ranked: Mapping[Cell, float]
) -> list[Cell]:
    """Fastest first: by the ratio to the fastest of those that ran beside it, which a drift of the
    machine leaves alone, and else by what each is `ranked` by.
    """
    by_rate = sorted(cells, key=lambda cell: -ranked[cell])
    fastest, ratios = by_rate[0], {by_rate[0]: 1.0}
    for _ in by_rate:  # until none is ahead of it
        others = [cell for cell in by_rate if cell != fastest]
        found = {cell: speed_ratio(raced[cell], raced[fastest]) for cell in others}
        ratios = {cell: ratio.value for cell, ratio in found.items() if ratio} | {fastest: 1.0}
        ahead = max(ratios, key=lambda cell: ratios[cell])
        if ahead == fastest:
            break
        fastest = ahead

    def place(cell: Cell) -> tuple[bool, float]:
        return cell != fastest, -ratios.get(cell, ranked[cell] / (ranked[fastest] or 1.0))

    return sorted(by_rate, key=place)


def _rate(cell: Cell, records: Sequence[Record], speed: Estimate | None) -> float:
    """What a cell is ranked by, the larger the better; 0: it is not."""
    if cell.target_accuracy is None:
        return speed.value if speed else 0.0
    seconds = seconds_to_target(records)
    return 1 / seconds.value if seconds else 0.0


def _compared(rows: Sequence[Sequence[Record]], floor: Floor) -> dict[tuple[int, int], Comparison]:
    """Each row against each earlier one, with verdicts that account for so many comparisons."""
    return judged_together(
        {
            (i, j): comparison
            for i, j in combinations(range(len(rows)), 2)
            if (comparison := compare(rows[j], rows[i], floor))
        }
    )
