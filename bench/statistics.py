"""Pure functions from samples to medians, intervals and verdicts.

The process is the replicate: blocks of one process share its memory layout, its thread placement
and its share of the machine's moods, so they are summed up by a median, and an interval is taken
across processes only. One process alone has no interval.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from bench.cells import Cell
from bench.groups import false_discovery_rates, letters
from bench.records import Record

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A value with the interval that holds the true one in 95 of 100 such runs; None: unknown."""

    value: float
    low: float | None = None
    high: float | None = None


def estimate(samples: Sequence[float]) -> Estimate | None:
    """Geometric mean of positive per-process values, with Student's interval of their logarithms.

    Values like throughput and time vary by factors, so the logarithm is the scale on which their
    scatter is symmetric. None without samples; no interval with one.

    Student's t and no bootstrap, since runs have few processes. In simulated runs with heavy
    tails, disturbed blocks and drift (`tests/benchmarks/coverage.py`) t's interval of a speed ratio
    holds the truth in 95 to 98 of 100 with 3 to 20 processes; a bootstrap of the processes,
    percentile or BCa, in 75 with 3, 88 with 7 and 91 to 95 with 20. One of processes and then of
    their rounds is as bad where blocks are quiet. None knows of a drift that outlasts processes:
    it cancels in a ratio, but the interval of a speed then holds the truth in 70 to 85 of 100.
    """
    if not samples:
        return None
    logs = [math.log(sample) for sample in samples]
    center = statistics.fmean(logs)
    if len(logs) < 2:
        return Estimate(math.exp(center))
    from scipy.special import stdtrit

    half = float(stdtrit(len(logs) - 1, (1 + CONFIDENCE) / 2))
    half *= _standard_error(logs, center)
    return Estimate(math.exp(center), math.exp(center - half), math.exp(center + half))


def _standard_error(logs: Sequence[float], center: float) -> float:
    """Of their mean; not by `statistics.stdev`, whose exact fractions take ten times as long."""
    squares = math.fsum((value - center) ** 2 for value in logs)
    return math.sqrt(squares / (len(logs) - 1) / len(logs))


def step_s(record: Record) -> list[float]:
    """Seconds per step of each block."""
    return [s / n for s, n in zip(record.block_s, record.block_steps, strict=True)]


def throughput(record: Record) -> float | None:
    """Images per second in the median block; None where nothing was timed."""
    blocks = step_s(record)
    return record.batch_size / statistics.median(blocks) if blocks else None


@dataclass(frozen=True)
class Comparison:
    """How two cells of one contest on one machine compare."""

    ratio: Estimate  # of speeds
    p_value: float | None  # how likely equal cells are to seem so different; None: no interval
    verdict: str | None


def compare(
    ours: Sequence[Record], theirs: Sequence[Record], floor: float = 0.0
) -> Comparison | None:
    """How many times as fast `ours` is as `theirs`, how sure that is, and the verdict.

    `floor` is the difference that this machine shows between a cell and itself (0.01: 1 %).
    None where no two processes were interleaved.
    """
    ratios = _ratios(ours, theirs)
    ratio = estimate(ratios)
    if ratio is None:
        return None
    return Comparison(ratio, _p_value(ratios), verdict(ratio, floor))


def speed_ratio(ours: Sequence[Record], theirs: Sequence[Record]) -> Estimate | None:
    """How many times as fast `ours` is as `theirs`, from blocks that ran in the same rounds.

    Across pairs of processes as `estimate` does. None where no two processes were interleaved.
    """
    return estimate(_ratios(ours, theirs))


def _ratios(ours: Sequence[Record], theirs: Sequence[Record]) -> list[float]:
    """Per pair of processes of one cohort, the median over rounds of the ratio of block times."""
    partners = {(record.run_id, record.cohort): record for record in theirs}
    medians = []
    for record in ours:
        partner = partners.get((record.run_id, record.cohort))
        if record.cohort is None or partner is None:
            continue
        if partner.block_steps != record.block_steps or not record.block_s:
            continue
        pairs = zip(partner.block_s, record.block_s, strict=True)
        medians.append(statistics.median(theirs_s / ours_s for theirs_s, ours_s in pairs))
    return medians


def _p_value(ratios: Sequence[float]) -> float | None:
    """Two-sided, of Student's test that the ratios scatter around 1; None for fewer than two."""
    if len(ratios) < 2:
        return None
    from scipy.special import stdtr

    logs = [math.log(ratio) for ratio in ratios]
    center = statistics.fmean(logs)
    error = _standard_error(logs, center)
    if error == 0:
        return 1.0 if center == 0 else 0.0
    return 2 * float(stdtr(len(logs) - 1, -abs(center) / error))


def verdict(ratio: Estimate | None, floor: float = 0.0) -> str | None:
    """`faster`, `slower` or `tie` of a speed ratio; None where there is no interval to tell by.

    A difference of less than `floor`, either way round, is a tie whatever the interval says.
    """
    if ratio is None or ratio.low is None or ratio.high is None:
        return None
    if abs(math.log(ratio.value)) < math.log1p(floor):
        return "tie"
    if ratio.low > 1:
        return "faster"
    return "slower" if ratio.high < 1 else "tie"


@dataclass(frozen=True)
class Summary:
    """One cell over all its processes."""

    cell: Cell
    processor: str
    records: tuple[Record, ...]  # those that are ok
    failures: tuple[Record, ...]
    throughput_images_per_s: Estimate | None
    speed_against_fastest: Estimate | None  # 1 for the fastest itself
    verdict: str | None  # against the fastest; None for itself, and where it cannot be told
    group: str | None  # rows that share a letter cannot be told apart; None: nothing to tell by

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
    floors = {
        (run["run_id"], device): floor["value"]
        for run in runs
        for device, floor in run.get("noise_floor", {}).items()
    }
    contests: dict[tuple[object, ...], dict[Cell, list[Record]]] = {}
    floor_of: dict[tuple[object, ...], float] = {}
    for record in records:
        contest = (record.machine, record.processor, *record.cell.contest)
        contests.setdefault(contest, {}).setdefault(record.cell, []).append(record)
        floor = floors.get((record.run_id, record.device), 0.0)
        floor_of[contest] = max(floor, floor_of.get(contest, 0.0))
    return [_rank(cells, floor_of[contest]) for contest, cells in contests.items()]


def _rank(cells: dict[Cell, list[Record]], floor: float) -> list[Summary]:
    ok = {cell: [r for r in rows if r.status == "ok"] for cell, rows in cells.items()}
    speeds = {
        cell: estimate([s for r in rows if (s := r.throughput_images_per_s)])
        for cell, rows in ok.items()
    }
    order = sorted(cells, key=lambda cell: -(e.value if (e := speeds[cell]) else 0.0))
    fastest = order[0]
    for cell in order[1:]:  # where processes are missing, side by side may contradict the means
        if verdict(speed_ratio(ok[cell], ok[fastest]), floor) == "faster":
            fastest = cell
    order.remove(fastest)
    order.insert(0, fastest)
    compared = _compared([ok[cell] for cell in order], floor)
    apart = {pair for pair, found in compared.items() if found.verdict in ("faster", "slower")}
    told = {row for pair, found in compared.items() if found.verdict for row in pair}
    groups = letters(sorted(told), apart)
    summaries = []
    for row, cell in enumerate(order):
        against = compared.get((0, row))
        first = Estimate(1.0) if row == 0 and speeds[cell] else None
        summaries.append(
            Summary(
                cell=cell,
                processor=cells[cell][0].processor,
                records=tuple(ok[cell]),
                failures=tuple(r for r in cells[cell] if r.status != "ok"),
                throughput_images_per_s=speeds[cell],
                speed_against_fastest=against.ratio if against else first,
                verdict=against.verdict if against else None,
                group=groups.get(row),
            )
        )
    return summaries


def _compared(rows: Sequence[Sequence[Record]], floor: float) -> dict[tuple[int, int], Comparison]:
    """Each row against each earlier one, with verdicts that account for so many comparisons."""
    found = {
        (i, j): comparison
        for i, j in combinations(range(len(rows)), 2)
        if (comparison := compare(rows[j], rows[i], floor))
    }
    sure = {pair: c.p_value for pair, c in found.items() if c.p_value is not None}
    rates = false_discovery_rates(list(sure.values()))
    for pair, rate in zip(sure, rates, strict=True):
        if rate >= 1 - CONFIDENCE:
            found[pair] = replace(found[pair], verdict="tie")
    return found
