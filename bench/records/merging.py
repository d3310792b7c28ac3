"""Several runs as one set of records: what is given twice counts once, and conflicts are named."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.records.record import Record
from bench.records.run import Run


@dataclass(frozen=True)
class Merged:
    """Records that each count once, the `run.json` of their runs, and what there is to say."""

    records: list[Record]
    runs: list[Run]
    remarks: list[str]


def merge(sources: Iterable[tuple[Run, Sequence[Record]]]) -> Merged:
    """Put runs together, in the order given; each comes as its `run.json` and its records.

    A row is known by run, machine, cell and number of its process. Equal ones count once; of those
    that contradict each other the first counts. Different runs of one name (begun at another time,
    or on another machine) are told apart by a number behind it, since cohorts are known by it.
    """
    kept: dict[tuple[Any, ...], Record] = {}
    runs: dict[tuple[Any, ...], Run] = {}
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
                    f"{namesakes + 1} different runs are called {name}: that of {identity[1]} on "
                    f"{identity[2]} is shown as {runs[identity].run_id}"
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
    remarks += [
        f"{count} row{_s(count)} of {name} {'were' if count > 1 else 'was'} given more than once, "
        f"and count{'s' if count == 1 else ''} once"
        for name, count in repeated.items()
    ]
    remarks += [
        f"{len(rows)} row{_s(len(rows))} of {name} contradict{'s' if len(rows) == 1 else ''} what "
        f"was given before of the same cell and process (the first: {rows[0].cell.label}, "
        f"{rows[0].cell.contest_label}, process {rows[0].replicate}): what was given first counts"
        for name, rows in contrary.items()
    ]
    merged = Merged(list(kept.values()), list(runs.values()), remarks)
    merged.remarks.extend(ambiguous_machines(merged.records, merged.runs))
    return merged


def _key(record: Record) -> tuple[Any, ...]:
    return record.run_id, record.machine, record.processor, record.cell, record.replicate


def _s(count: int) -> str:
    return "s" if count > 1 else ""


def ambiguous_machines(records: Iterable[Record], runs: Iterable[Run]) -> list[str]:
    """One line for each machine's name that stands for different hardware."""
    hardware: dict[str, dict[str, list[str]]] = {}
    for run in runs:
        facts = run.machine
        gpus = ", ".join(gpu.name for gpu in facts.gpus) or "no GPU"
        described = (
            f"{facts.cpu} with {facts.physical_cores} cores "
            f"({facts.logical_cores} logical) and {gpus}"
        )
        hardware.setdefault(facts.machine, {}).setdefault(described, []).append(run.run_id)
    chips: dict[str, dict[str, list[str]]] = {}
    for record in records:
        by_chip = chips.setdefault(f"{record.machine} {record.device}", {})
        named = by_chip.setdefault(record.processor, [])
        if record.run_id not in named:
            named.append(record.run_id)
    told = [(name, found) for name, found in hardware.items() if len(found) > 1]
    names = [name for name, _ in told]
    told += [
        (name, found)
        for name, found in chips.items()
        if len(found) > 1 and name.rpartition(" ")[0] not in names
    ]
    return [
        f"{name} is the name of different hardware: "
        + "; ".join(f"{what} in {', '.join(where)}" for what, where in found.items())
        + ". Rows are kept apart by processor and threads alone; name machines by --machine-name"
        for name, found in told
    ]
