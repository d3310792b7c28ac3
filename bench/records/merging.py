"""Several runs as one set of records: a repeated row counts once, conflicts are named."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.records.record import Record
from bench.records.run import Run
from bench.words import plural


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
    kept: dict[tuple[Any, ...], Record] = {}
    runs: dict[tuple[str, str | None, str], Run] = {}
    repeated: dict[str, int] = {}
    contrary: dict[str, list[Record]] = {}
    remarks: list[str] = []
    for run, records in sources:
        name = run.run_id
        identity = (name, run.utc, run.machine.machine)
        if identity not in runs:
            namesakes = sum(known[0] == name for known in runs)
            runs[identity] = run
            if namesakes:
                runs[identity] = replace(run, run_id=f"{name} ({namesakes + 1})")
                remarks.append(
                    f"{namesakes + 1} different runs are called {name}: that of {run.utc} on "
                    f"{run.machine.machine} is shown as {runs[identity].run_id}"
                )
        shown = runs[identity].run_id
        for record in records:
            if record.run_id == name != shown:
                record = replace(record, run_id=shown)
            first = kept.setdefault(_key(record), record)
            if first is not record and first == record:
                repeated[shown] = repeated.get(shown, 0) + 1
            elif first is not record:
                contrary.setdefault(shown, []).append(record)
    remarks += [_repeated(name, count) for name, count in repeated.items()]
    remarks += [_contrary(name, rows) for name, rows in contrary.items()]
    remarks += ambiguous_machines(kept.values(), runs.values())
    return Merged(list(kept.values()), list(runs.values()), remarks)


def _key(record: Record) -> tuple[Any, ...]:
    process = record.cell, record.replicate, record.attempt
    return record.run_id, record.machine, record.processor, *process


def _repeated(run_id: str, count: int) -> str:
    verbs = ("was", "counts") if count == 1 else ("were", "count")
    return (
        f"{plural(count, 'row')} of {run_id} {verbs[0]} given more than once, and {verbs[1]} once"
    )


def _contrary(run_id: str, rows: Sequence[Record]) -> str:
    verb = "contradicts" if len(rows) == 1 else "contradict"
    first = f"{rows[0].cell.label}, {rows[0].cell.contest_label}, process {rows[0].replicate}"
    return (
        f"{plural(len(rows), 'row')} of {run_id} {verb} an earlier row of the same cell and "
        f"process (the first: {first}); the row that was given first counts"
    )


def ambiguous_machines(records: Iterable[Record], runs: Iterable[Run]) -> list[str]:
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
    for record in records:
        by_chip = chips.setdefault((record.machine, record.device), {})
        of_chip = by_chip.setdefault(record.processor, [])
        if record.run_id not in of_chip:
            of_chip.append(record.run_id)
    named = list(ambiguous.items())
    named += [
        (f"{machine} {device}", found)
        for (machine, device), found in chips.items()
        if len(found) > 1 and machine not in ambiguous
    ]
    return [
        f"{name} is the name of different hardware: "
        + "; ".join(f"{what} in {', '.join(where)}" for what, where in found.items())
        + ". Rows are kept apart by processor and threads alone; name machines by --machine-name"
        for name, found in named
    ]
