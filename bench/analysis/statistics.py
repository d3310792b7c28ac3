"""Pure functions from samples to medians, intervals and verdicts.

The process is the replicate: blocks of one process share its memory layout, its thread placement
and its share of the machine's moods, so they are summed up by a median, and an interval is taken
across processes only. One process alone has no interval.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import truediv

from bench.records import Record

CONFIDENCE = 0.95

Floor = Callable[[int], float]  # processes -> the difference below which all is a tie


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


def throughput(record: Record) -> float | None:
    """Images per second in the median block; None where nothing was timed."""
    blocks = record.step_s
    return record.cell.images_per_step / statistics.median(blocks) if blocks else None


def seconds_to_target(records: Sequence[Record]) -> Estimate | None:
    """Training time until the target accuracy, over processes; None unless all of them got there.

    The mean of those that did would be that of the lucky ones.
    """
    times = [record.reached_train_s for record in records]
    return None if None in times else estimate([seconds for seconds in times if seconds])


@dataclass(frozen=True)
class Comparison:
    """How two cells of one contest compare, or one contender on two machines."""

    ratio: Estimate  # of speeds
    p_value: float | None  # how likely equal cells are to seem so different; None: no interval
    verdict: str | None


def compare(
    ours: Sequence[Record], theirs: Sequence[Record], floor: Floor | float = 0.0
) -> Comparison | None:
    """How many times as fast `ours` is as `theirs`, how sure that is, and the verdict.

    `floor` is the difference that this machine shows between a cell and itself (0.01: 1 %), or
    what it is for so many processes.
    None where no two processes were interleaved.
    """
    ratios = speed_ratios(ours, theirs)
    ratio = estimate(ratios)
    if ratio is None:
        return None
    least = floor(len(ratios)) if callable(floor) else floor
    return Comparison(ratio, _p_value(ratios), verdict(ratio, least))


def speed_ratio(ours: Sequence[Record], theirs: Sequence[Record]) -> Estimate | None:
    """How many times as fast `ours` is as `theirs`, from blocks that ran in the same rounds.

    Across pairs of processes as `estimate` does. None where no two processes were interleaved.
    """
    return estimate(speed_ratios(ours, theirs))


def speed_ratios(ours: Sequence[Record], theirs: Sequence[Record]) -> list[float]:
    """How many times as fast `ours` is as `theirs`, per pair of processes of one cohort: the median
    over rounds of the ratio of images/s; of training to a target, the ratio of the times until it
    was reached, none where one was not.
    """
    if any(r.target_accuracy and not r.reached_train_s for r in (*ours, *theirs)):
        return []  # the rest would be those that were lucky
    partners = {(record.run_id, record.cohort): record for record in theirs}
    medians = []
    for record in ours:
        partner = partners.get((record.run_id, record.cohort))
        if record.cohort is None or partner is None:
            continue
        if record.reached_train_s and partner.reached_train_s:
            medians.append(partner.reached_train_s / record.reached_train_s)
            continue
        if len(partner.block_s) != len(record.block_s) or not record.block_s:
            continue
        images = record.cell.images_per_step / partner.cell.images_per_step
        medians.append(images * statistics.median(map(truediv, partner.step_s, record.step_s)))
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


def noise_floor(log_ratios: Sequence[float], processes: int) -> float:
    """The difference that 95 of 100 comparisons of equal cells stay below (0.01: 1 %).

    `log_ratios` are the logarithms of speed ratios of equal cells, one for each pair of processes,
    and a comparison takes the mean of as many as it has `processes`. Their true mean is 0, so n of
    them estimate their variance with n degrees of freedom, and the mean of others, over its
    estimated error, follows Student's t of as many: with few pairs the floor is the higher for not
    being known well.
    """
    from scipy.special import stdtrit

    quantile = float(stdtrit(len(log_ratios), (1 + CONFIDENCE) / 2))
    rms = math.sqrt(statistics.fmean(log**2 for log in log_ratios))
    return math.expm1(quantile * rms / math.sqrt(processes))
