"""Report: all that a report is made from. Every section is a function of it alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from bench.analysis.contests import Contest, contests_of
from bench.records import Record, Run
from bench.reports.rates import Rate


@dataclass(frozen=True)
class Report:
    """Records and their runs, with what a user adds to them."""

    records: Sequence[Record]
    runs: Sequence[Run]
    baseline: str | None = None  # the machine or processor that others are held against
    rates: Mapping[str, Rate] = field(default_factory=dict)  # by name of a machine or processor
    remarks: Sequence[str] = ()  # on the merging of runs

    @cached_property
    def contests(self) -> Sequence[Contest]:
        """The contests, each with its verdicts, which take their time: worked out once."""
        return contests_of(self.records, self.runs)
