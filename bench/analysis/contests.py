"""A contest: the cells that are ranked against each other, each summed up over its processes."""

import statistics
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

from bench.analysis.statistics import (
    Estimate,
    Floor,
    seconds_to_target,
)
from bench.cells import Cell
from bench.records import Record


@dataclass(frozen=True)
class Summary:
    """One cell over all its processes on one machine."""

    cell: Cell
    machine: str
    processor: str
    records: tuple[Record, ...]  # those that are ok
    failures: tuple[Record, ...]
    set_aside: tuple[Record, ...]  # those that do not count, since another attempt was less busy
    throughput_images_per_s: Estimate | None
    speed_against_fastest: Estimate | None  # 1 for the fastest itself
    verdict: str | None  # `fastest`, or against that; None: without an interval there is none
    group: str | None  # rows that share a letter tie; None: without an interval there is none

    @property
    def to_target(self) -> bool:
        """Whether the cell trains to a target accuracy, and is ranked by the time that it takes."""
        return self.cell.target_accuracy is not None

    @property
    def again(self) -> int:
        """How many of the processes were measured again."""
        return len({(row.run_id, row.replicate) for row in self.set_aside})

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


@dataclass(frozen=True, eq=False)
class Contest:
    """Cells that are ranked against each other: equal in all but the contender, on one machine."""

    summaries: tuple[Summary, ...]  # the fastest first, those without a speed last
    floor: Floor  # by number of processes, the difference up to which cells tie

    @property
    def fastest(self) -> Summary:
        """The first of the ranking, also where nothing could be measured of any."""
        return self.summaries[0]

    @property
    def cell(self) -> Cell:
        """One of the cells, for what all of them share."""
        return self.fastest.cell

    @property
    def label(self) -> str:
        """`train resnet14 cpu 2 threads fp32 batch 64 adam digits 100 steps`."""
        return self.cell.contest_label

    @property
    def machine(self) -> str:
        """Name of the machine."""
        return self.fastest.machine

    @property
    def processor(self) -> str:
        """The chip that did the work."""
        return self.fastest.processor

    @property
    def place(self) -> str:
        """`desk, Example CPU`: the machine and the chip that did the work."""
        return f"{self.machine}, {self.processor}"

    @property
    def to_target(self) -> bool:
        """Whether cells are ranked by the time that they take to a target accuracy."""
        return self.fastest.to_target

    @cached_property
    def ranked(self) -> tuple[Summary, ...]:
        """The cells of which a process is ok, the fastest first."""
        return tuple(summary for summary in self.summaries if summary.records)

    @cached_property
    def letters_needed(self) -> bool:
        """Whether two rows behind the fastest look alike and differ, or the other way round: do
        their intervals against the fastest overlap, or do their letters?

        The rows were compared pair by pair in the same rounds, by far more than what overlaps.
        """
        rows = [
            (set(s.group), against.low, against.high)
            for s in self.summaries[1:]
            if s.group and (against := s.speed_against_fastest) and against.low and against.high
        ]
        return any(
            (max(low, other_low) <= min(high, other_high)) != bool(group & other)
            for (group, low, high), (other, other_low, other_high) in combinations(rows, 2)
        )

    @cached_property
    def records(self) -> tuple[Record, ...]:
        """The records that are ok, cell by cell."""
        return tuple(record for summary in self.summaries for record in summary.records)

    @cached_property
    def failures(self) -> tuple[Record, ...]:
        """The records that are not ok, cell by cell."""
        return tuple(record for summary in self.summaries for record in summary.failures)
