"""Several runs as one set of records: a repeated row counts once, conflicts are named."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.records.record import Record
from bench.records.run import Run
from bench.words import plural

SHOWN = 12  # runs that a remark names
Place = tuple[str, str, str, str]  # machine, device, processor, run


@dataclass(frozen=True)
class Merged:
    """Records that each count once, their runs, and remarks on what did not fit together."""

    records: list[Record]
    runs: list[Run]
    remarks: list[str]


def merge(sources: Iterable[tuple[Run, Sequence[Record]]]) -> Merged:
    """Put runs together, in the order given; each comes with its records.

    A row is known by run, machine, cell and number of its process. Equal ones count once; of those
    that contradict each other the first counts. Different runs of one name (begun at another time,
    or on another machine) are told apart by a number behind it, since cohorts are known by it.
    """
    given = list(sources)
    named = Named([run for run, _ in given])
    distinct = Distinct()
    every = (
        named.renamed(place, record)
        for place, (_, records) in enumerate(given)
        for record in records
    )
    kept = distinct.of(every)
    places = {(row.machine, row.device, row.processor, row.run_id): None for row in kept}
    remarks = [*named.remarks, *distinct.remarks, *ambiguous_machines(places, named.runs)]
    return Merged(kept, named.runs, remarks)


class Named:
    """Runs that were given, each once, under names that tell them apart."""

    def __init__(self, given: Sequence[Run]) -> None:
        known: dict[tuple[str, str | None, str], Run] = {}
        self.given = given
        self.shown: list[str] = []  # name of each that was given
        self.remarks: list[str] = []
        namesakes = Counter[str]()
        for run in given:
            name = run.run_id
            identity = (name, run.utc, run.machine.machine)
            if identity not in known:
                known[identity] = run
                if others := namesakes[name]:
                    known[identity] = replace(run, run_id=f"{name} ({others + 1})")
                    self.remarks.append(
                        f"{others + 1} different runs are called {name}: that of {run.utc} on "
                        f"{run.machine.machine} is shown as {known[identity].run_id}"
                    )
                namesakes[name] += 1
            self.shown.append(known[identity].run_id)
        self.runs = list(known.values())

    def renamed(self, place: int, record: Record) -> Record:
        """A record of the run that was given at a place, under the name that this run has now."""
        shown = self.shown[place]
        if record.run_id == self.given[place].run_id != shown:
            return replace(record, run_id=shown)
        return record


class Distinct:
    """Keeps each row once, and counts what was repeated and what contradicts."""

    def __init__(self) -> None:
        self.repeated = Counter[str]()
        self.contrary: dict[str, tuple[int, Record]] = {}  # how many, and the first

    def of(self, records: Iterable[Record]) -> list[Record]:
        """The first of each process of a cell; all records of a cell must be given at once."""
        kept: dict[tuple[Any, ...], Record] = {}
        for record in records:
            first = kept.setdefault(_key(record), record)
            if first is record:
                continue
            if first == record:
                self.repeated[record.run_id] += 1
            else:
                count, example = self.contrary.get(record.run_id, (0, record))
                self.contrary[record.run_id] = count + 1, example
        return list(kept.values())

    @property
    def remarks(self) -> list[str]:
        """A line for each run that has such rows."""
        repeated = [_repeated(name, count) for name, count in self.repeated.items()]
        return repeated + [_contrary(name, *found) for name, found in self.contrary.items()]


def _key(record: Record) -> tuple[Any, ...]:
    process = record.cell, record.replicate, record.attempt
    return record.run_id, record.machine, record.processor, *process


def _repeated(run_id: str, count: int) -> str:
    verbs = ("was", "counts") if count == 1 else ("were", "count")
    return (
        f"{plural(count, 'row')} of {run_id} {verbs[0]} given more than once, and {verbs[1]} once"
    )


def _contrary(run_id: str, count: int, first: Record) -> str:
    verb = "contradicts" if count == 1 else "contradict"
    which = f"{first.cell.label}, {first.cell.contest_label}, process {first.replicate}"
    return (
        f"{plural(count, 'row')} of {run_id} {verb} an earlier row of the same cell and "
        f"process (the first: {which}); the row that was given first counts"
    )


def ambiguous_machines(places: Iterable[Place], runs: Iterable[Run]) -> list[str]:
    """One line for each machine's name that stands for different hardware."""
    hardware: dict[str, dict[str, list[str]]] = {}  # machine -> its hardware -> runs
    for run in runs:
        facts = run.machine
        described = (
            f"{facts.cpu}, {facts.physical_cores} cores ({facts.logical_cores} logical), "
            f"GPU {facts.gpu_names}"
        )
        hardware.setdefault(facts.machine, {}).setdefault(described, []).append(run.run_id)
    ambiguous = {machine: found for machine, found in hardware.items() if len(found) > 1}
    chips: dict[tuple[str, str], dict[str, list[str]]] = {}  # machine, device -> chip -> runs
    for machine, device, processor, run_id in places:
        chips.setdefault((machine, device), {}).setdefault(processor, []).append(run_id)
    named = list(ambiguous.items())
    named += [
        (f"{machine} {device}", found)
        for (machine, device), found in chips.items()
        if len(found) > 1 and machine not in ambiguous
    ]
    return [
        f"{name} is the name of different hardware: "
        + "; ".join(f"{what} in {_some(where)}" for what, where in found.items())
        + ". Rows are kept apart by processor and threads alone; name machines by --machine-name"
        for name, found in named
    ]


def _some(runs: Sequence[str]) -> str:
    more = [plural(len(runs) - SHOWN, "other run")] if len(runs) > SHOWN else []
    return ", ".join([*runs[:SHOWN], *more])
