"""Records made contests: cells summed up over their processes, and ranked by their speed."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import combinations

from bench.analysis.attempts import counted
from bench.analysis.contests import Contest, Summary
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
from bench.records import Record, Run
from bench.records.run import NoiseFloor

Place = tuple[object, ...]  # machine, processor, and what the cells of a contest share
Floors = Mapping[tuple[str, str], NoiseFloor]  # by run and device


def contests_of(records: Iterable[Record], runs: Iterable[Run] = ()) -> list[Contest]:
    """The contests of records, in the order in which each has its first; those that differ in their
    streams alone, which are measured side by side in shuffled order, by the number of these.

    Where `runs` know several noise floors for a contest, the largest counts.
    """
    floors, every = _floors(runs), list(records)
    rows = counted(every)
    counting = set(map(id, rows))
    aside = _by_contest(row for row in every if id(row) not in counting)
    found = [
        _ranked(
            cells,
            _floor_of((row for rows in cells.values() for row in rows), floors),
            aside.get(place, {}),
        )
        for place, cells in _by_contest(rows).items()
    ]
    first: dict[Place, int] = {}
    for index, each in enumerate(found):
        first.setdefault(_side_by_side(each), index)
    return sorted(found, key=lambda each: (first[_side_by_side(each)], each.cell.streams or 0))


def _side_by_side(contest: Contest) -> Place:
    return contest.machine, contest.processor, *contest.cell.beside


def _by_contest(records: Iterable[Record]) -> dict[Place, dict[Cell, list[Record]]]:
    contests: dict[Place, dict[Cell, list[Record]]] = {}
    for record in records:
        place = (record.machine, record.processor, *record.cell.contest)
        contests.setdefault(place, {}).setdefault(record.cell, []).append(record)
    return contests


def floor_of(records: Iterable[Record], runs: Iterable[Run]) -> Floor:
    """The largest noise floor that the `runs` of these records know."""
    return _floor_of(records, _floors(runs))


def _floors(runs: Iterable[Run]) -> Floors:
    return {
        (run.run_id, device): floor for run in runs for device, floor in run.noise_floor.items()
    }


def _floor_of(records: Iterable[Record], floors: Floors) -> Floor:
    sources = {(record.run_id, record.device) for record in records}
    return partial(_largest, [floors[source] for source in sources if source in floors])


def _largest(floors: Iterable[NoiseFloor], processes: int) -> float:
    """Of comparisons of so many processes; where ratios are not kept, whatever their number."""
    return max(
        (
            noise_floor(floor.log_ratios, processes) if floor.log_ratios else floor.value
            for floor in floors
        ),
        default=0.0,
    )


def _ranked(
    cells: Mapping[Cell, Sequence[Record]],
    floor: Floor,
    aside: Mapping[Cell, Sequence[Record]],
) -> Contest:
    ok = {cell: [r for r in rows if r.status == "ok"] for cell, rows in cells.items()}
    speeds = {
        cell: estimate([s for r in rows if (s := r.throughput_images_per_s)])
        for cell, rows in ok.items()
    }
    # Of processes that train to a target, those that did not fail may be the lucky ones
    raced = {
        cell: [] if cell.target_accuracy and len(rows) < len(cells[cell]) else rows
        for cell, rows in ok.items()
    }
    rates = {cell: _rate(cell, raced[cell], speeds[cell]) for cell in cells}
    order = _order(cells, raced, rates)
    compared = _compared([raced[cell] for cell in order], floor)
    apart = {pair for pair, found in compared.items() if found.verdict in ("faster", "slower")}
    judged = {row for pair, found in compared.items() if found.verdict for row in pair}
    groups = letters(sorted(judged), apart)
    summaries = []
    for row, cell in enumerate(order):
        against = compared.get((0, row))
        itself = Estimate(1.0) if row == 0 and rates[cell] else None
        leading = "fastest" if itself and row in judged else None
        summaries.append(
            Summary(
                cell=cell,
                machine=cells[cell][0].machine,
                processor=cells[cell][0].processor,
                records=tuple(ok[cell]),
                failures=tuple(r for r in cells[cell] if r.status != "ok"),
                set_aside=tuple(aside.get(cell, ())),
                throughput_images_per_s=speeds[cell],
                speed_against_fastest=against.ratio if against else itself,
                verdict=against.verdict if against else leading,
                group=groups.get(row),
            )
        )
    return Contest(tuple(summaries), floor)


def _order(
    cells: Iterable[Cell], raced: Mapping[Cell, Sequence[Record]], rates: Mapping[Cell, float]
) -> list[Cell]:
    """Fastest first: by the ratio to the fastest of those that ran beside it, which a drift of the
    machine leaves alone, and else by the `rates`.
    """
    by_rate = sorted(cells, key=lambda cell: -rates[cell])
    fastest, ratios = by_rate[0], {by_rate[0]: 1.0}
    for _ in by_rate:  # until none is ahead of it
        others = [cell for cell in by_rate if cell != fastest]
        found = {cell: speed_ratio(raced[cell], raced[fastest]) for cell in others}
        ratios = {cell: ratio.value for cell, ratio in found.items() if ratio} | {fastest: 1.0}
        ahead = max(ratios, key=lambda cell: ratios[cell])
        if ahead == fastest:
            break
        fastest = ahead

    def rank(cell: Cell) -> tuple[bool, float]:
        return cell != fastest, -ratios.get(cell, rates[cell] / (rates[fastest] or 1.0))

    return sorted(by_rate, key=rank)


def _rate(cell: Cell, records: Sequence[Record], speed: Estimate | None) -> float:
    """What a cell is ranked by, the larger the better; 0: it has no rank."""
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
