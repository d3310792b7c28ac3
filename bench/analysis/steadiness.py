"""Whether what a cell's blocks rest on stood still: its speed, its memory, the machine around it.

Pure functions, which mark what did not and drop nothing.
"""

import math
import statistics
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from bench.analysis.rank_tests import mann_whitney, theil_sen
from bench.records import Record

FEWEST = 8  # blocks, for a test to tell anything: 4 before and 4 after
SIGNIFICANCE = 0.05
EFFECT = 0.03  # halves that differ by less than 3 % are as good as equal

TAKEN_SHARE = 0.10  # of the processor time that the worker had itself
TAKEN_S = 0.03  # three of the 10 ms steps that the kernel counts by
SHORTEST_S = 0.1  # blocks shorter than that hold too few such steps to tell
DISTURBED = 0.25  # of the blocks

# Over all timed steps; less than that is no concern, and allocators come and go by it
LEAK_MIB = 1.0
LEAK_SHARE = 0.01  # of what was held at first
STRETCHES = 16  # of blocks at most: fewer show growth in pages that one block alone may not need


def settled(cohort: Sequence[Sequence[float]]) -> list[bool | None]:
    """Whether each cell of a cohort ran its later blocks as it did its earlier ones.

    `cohort` holds the seconds per step of each cell's blocks, round by round. A cell has not
    settled where the halves of its blocks differ by Mann and Whitney's test (5 %) and their medians
    by more than 3 %: both as measured, and once the others' common factor of each round, which is
    the machine's, is taken out, in the same direction. None with fewer than 8 blocks.

    By simulation (`tests/test_steadiness.py`; blocks scatter by 2 %, and by another 3 % with the
    machine): settled cells are marked in 2 of 100 runs, in 5 of a cohort of one, and in 2 where the
    machine slows down by 10 %. A cell whose later half is 10 % slower is found in 91 to 99 of 100
    with 10 blocks; one that slows down by 10 % bit by bit in 32 to 50 with 10 blocks and in 80 to
    88 with 20. It may get its only neighbours marked too, in 3 to 14.

    What slows down in a cohort of one may be the cell or the machine: nothing tells. In larger
    ones a cell's drift goes unseen where the machine drifts just as much the other way.
    """
    logs = [[math.log(seconds) for seconds in blocks] for blocks in cohort]
    return [_settled(own, logs[:index] + logs[index + 1 :]) for index, own in enumerate(logs)]


def change(blocks: Sequence[float]) -> float:
    """How much more time the later half of the blocks took than the earlier: 0.1 is 10 % more."""
    half = len(blocks) // 2
    return statistics.median(blocks[half:]) / statistics.median(blocks[:half]) - 1


def _settled(own: Sequence[float], others: Sequence[Sequence[float]]) -> bool | None:
    if len(own) < FEWEST:
        return None
    deviations = [[log - statistics.median(logs) for log in logs] for logs in others]
    common = map(statistics.median, zip(*deviations, strict=True)) if others else [0.0] * len(own)
    corrected = [log - factor for log, factor in zip(own, common, strict=True)]
    half = len(own) // 2
    as_measured = statistics.median(own[half:]) - statistics.median(own[:half])
    shift = statistics.median(corrected[half:]) - statistics.median(corrected[:half])
    if min(abs(shift), abs(as_measured)) < math.log1p(EFFECT) or shift * as_measured < 0:
        return True
    return mann_whitney(corrected[:half], corrected[half:]) >= SIGNIFICANCE


def taken_cores(record: Record) -> list[float]:
    """Processors that others had during each block: other processes and the hypervisor; none where
    the former are unknown.
    """
    if not record.block_other_cores:
        return []
    stolen = record.block_stolen_cores or (0.0,) * len(record.block_other_cores)
    return [sum(pair) for pair in zip(record.block_other_cores, stolen, strict=True)]


def busy(record: Record) -> bool | None:
    """Whether a process was measured on a busy machine.

    That is where in more than a quarter of its blocks others had more than 10 % of the processor
    time that the worker had itself, and more than 30 ms. Blocks under 0.1 s are left out; None
    where no block is longer.
    """
    rows = zip(record.block_s, taken_cores(record), record.block_own_cores, strict=False)
    disturbed = [
        taken > TAKEN_SHARE * own and taken * block_s > TAKEN_S
        for block_s, taken, own in rows
        if block_s >= SHORTEST_S
    ]
    return statistics.fmean(disturbed) > DISTURBED if disturbed else None


class Leak(NamedTuple):
    """How memory grew over the timed steps, in KiB per step, with its 95 % interval."""

    kib_per_step: float
    low: float
    high: float
    leaks: bool  # grew beyond doubt, in most stretches, by more than 1 MiB and 1 % of all held


def may_leak(record: Record, where: str) -> bool:
    """False where the slope that the record keeps is too small already, which is quick to see."""
    kib_per_step: float | None = getattr(record, f"{where}_leak_kib_per_step")
    return kib_per_step is None or kib_per_step * sum(record.block_steps) > LEAK_MIB * 1024


def leak(record: Record, where: str) -> Leak | None:
    """How much memory each step left behind on the `host` or the `device`.

    The median of the slopes between all pairs of blocks (Theil and Sen), which a single growth of
    an allocator's pool does not move. One that grows now and then does, but what every step leaves
    behind also shows from each stretch of blocks to the next: by the median of those growths. None
    with fewer than 8 blocks, and where memory is unknown.
    """
    held_mib: tuple[float, ...] = getattr(record, f"block_{where}_mib")
    if len(held_mib) < FEWEST:
        return None
    steps = list(accumulate(record.block_steps))
    slope, low, high = theil_sen(held_mib, steps)
    stretches = held_mib[:: math.ceil(len(held_mib) / STRETCHES)]
    growths = [later - earlier for earlier, later in pairwise(stretches)]
    least_mib = max(LEAK_MIB, LEAK_SHARE * held_mib[0])
    leaks = low * (steps[-1] - steps[0]) > least_mib
    leaks = leaks and statistics.median(growths) * len(growths) > least_mib
    return Leak(slope * 1024, low * 1024, high * 1024, leaks)
