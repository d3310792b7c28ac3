"""Runs whose records stay on disk, put together as `united` and `merge` put those in memory."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bench.records.families import Families
from bench.records.merging import Distinct, Named, Place, ambiguous_machines
from bench.records.record import Record
from bench.records.run import Run
from bench.records.shards import pooled


class Stored:
    """Runs in their folders, each row once, shards of one plan as one run.

    Raises UsageError for a line that is no record: of some of its fields at once, of the others
    when it is read.
    """

    def __init__(self, runs: Sequence[Run], folders: Sequence[Path]) -> None:
        self._families = Families()
        sizes = [self._families.add(folder / "records.jsonl") for folder in folders]
        pools, remarks = pooled(runs, sizes)
        self._named = Named([pool.run for pool in pools])
        self._distinct = Distinct()
        self._of: dict[int, int] = {}  # number of a file -> place of the run that it belongs to
        self._pooled = [not pool.whole for pool in pools]
        for place, pool in enumerate(pools):
            self._of |= dict.fromkeys(pool.places, place)
        self._remarks = [*remarks, *self._named.remarks]
        self.runs = self._named.runs
        self.rows = sum(sizes[number].rows for number in self._of)
        self.families = self._families.of(list(self._of))

    def __iter__(self) -> Iterator[list[Record]]:
        """The records of each family, which is what one machine has measured side by side."""
        self._distinct = Distinct()
        for family in self.families:
            yield self._distinct.of(family.records(self._shown))

    @property
    def places(self) -> list[Place]:
        """Where the records of each run were measured."""
        return list(
            dict.fromkeys(
                (machine, device, processor, self._name(number, run_id))
                for number in self._of
                for machine, device, processor, run_id in sorted(self._families.places[number])
            )
        )

    @property
    def remarks(self) -> list[str]:
        """What did not fit together, a line each; of rows only once all were read."""
        ambiguous = ambiguous_machines(self.places, self.runs)
        return [*self._remarks, *self._distinct.remarks, *ambiguous]

    def _shown(self, number: int, record: Record) -> Record:
        """A record under the name that its run has now."""
        name = self._name(number, record.run_id)
        return record if name == record.run_id else replace(record, run_id=name)

    def _name(self, number: int, run_id: str) -> str:
        place = self._of[number]
        own = self._named.given[place].run_id
        return self._named.shown[place] if self._pooled[place] or run_id == own else run_id
