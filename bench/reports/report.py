"""Report: all that a report is made from. Every section is a function of it alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from bench.analysis.contests import Contest
from bench.analysis.ranking import contests_of
from bench.cells import CONTEST
from bench.records import Record, Run
from bench.reports.rates import Rate

FEW = 4  # contests that are answered one by one, and lie open


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

    def _repr_html_(self) -> str:
        """The answers and the rankings as tables, which is how notebooks show a report."""
        from bench.reports.sections import answers, ranking
        from bench.reports.text import rendered

        return rendered(f"{answers.section(self)}\n\n{ranking.section(self)}")

    @property
    def many(self) -> bool:
        """Whether there are too many contests to show each of them openly."""
        return len(self.contests) > FEW

    @cached_property
    def alike(self) -> Mapping[str, frozenset[str]]:
        """Workload -> the fields of a cell in which all its contests are alike."""
        kinds: dict[str, set[tuple[object, ...]]] = {}
        for contest in self.contests:
            kinds.setdefault(contest.cell.workload, set()).add(contest.cell.contest)
        found = {}
        for workload, of in kinds.items():
            alike = {n for n, *values in zip(CONTEST, *of, strict=True) if len(set(values)) == 1}
            if "evaluate_every" not in alike:
                alike.discard("target_accuracy")  # whose words say both
            found[workload] = frozenset(alike)
        return found

    def name_of(self, contest: Contest) -> str:
        """What a contest is called, as plain text: with its place where there are several."""
        return f"{contest.label}, on {contest.place}" if self.several_places else contest.label

    @cached_property
    def several_places(self) -> bool:
        """Whether a contest is known by its label only together with its place."""
        return len({contest.place for contest in self.contests}) > 1
