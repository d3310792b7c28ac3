"""Two sides of a comparison: what each holds, and which cells of theirs are the same measurement.

Rows are compared only where all that defines the work is equal; whatever is not is named.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from bench.analysis.attempts import counted
from bench.analysis.statistics import speed_ratios
from bench.cells import Cell
from bench.errors import UsageError, unknown
from bench.records import EXPECTED, Record, Run, reading
from bench.records.folder import RunFolder
from bench.records.shards import united

Key = tuple[Cell, str | None]  # and the machine, where a side has several


@dataclass(frozen=True)
class Side:
    """What one argument stands for: the rows of one run or more, each row once."""

    name: str
    records: list[Record]
    runs: list[Run]  # of the `run.json` beside the rows, where there is one
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Pair:
    """A cell that both sides measured, from the same bytes."""

    cell: Cell
    machine: str | None  # None where each side has one
    base: list[Record]
    new: list[Record]
    broken: str = ""  # how processes of NEW failed, where none of BASE did
    control: "Pair | None" = None  # what ran beside it in both, if its speed is held against that

    def against_control(self) -> tuple[list[float], list[float]]:
        """How many times as fast as the control each process of BASE is, and of NEW, from the same
        rounds; empty where there is no control, or where they never ran side by side.
        """
        if self.control is None:
            return [], []
        return speed_ratios(self.base, self.control.base), speed_ratios(self.new, self.control.new)


@dataclass(frozen=True)
class LeftOut:
    """A cell that is not compared, and why."""

    cell: Cell
    reason: str
    broken: bool = False  # BASE measured it, and in NEW it failed


def side(path: Path) -> Side:
    """Read one argument of `compare`. Raises UsageError where it holds no records."""
    rows: dict[tuple[Any, ...], Record] = {}
    sources: list[tuple[Run, Sequence[Record]]] = []
    folders: list[Path] = []
    remarks: list[str] = []
    given = 0

    def add(found: Iterable[Record]) -> None:
        nonlocal given
        for row in found:
            given += 1
            # merged and copied files repeat rows, and a process that counts twice is no evidence
            process = row.cell, row.replicate, row.attempt
            rows.setdefault((row.run_id, row.machine, row.utc, *process), row)

    for file in reading.files(path):
        found = reading.read(file, remarks.append)
        if (file.parent / "run.json").exists():
            sources.append((RunFolder.open(file.parent).run, found))
            folders.append(file.parent)
        else:
            add(found)
    whole, about_shards = united(sources, folders)
    for _, records in whole:
        add(records)
    if not rows:
        raise UsageError(f"{path}: holds no records" + "".join(f" ({each})" for each in remarks))
    if given > len(rows):
        remarks.append(f"{path}: {given - len(rows)} of {given} rows are repeated, and count once")
    if aside := len(rows) - len(counted(rows.values())):
        were = "1 row was" if aside == 1 else f"{aside} rows were"
        remarks.append(f"{path}: {were} measured on a busy machine, and again; the others count")
    remarks += [f"{path}: {each}" for each in about_shards]
    return Side(str(path), list(rows.values()), [run for run, _ in whole], remarks)


def match(base: Side, new: Side) -> tuple[list[Pair], list[LeftOut]]:
    """The cells that both sides measured alike, and all others with the reason, in BASE's order."""
    by_machine = any(len({row.machine for row in each.records}) > 1 for each in (base, new))
    ours, theirs = _cells(base.records, by_machine), _cells(new.records, by_machine)
    pairs, left_out = [], []
    for key in dict.fromkeys((*ours, *theirs)):
        cell, machine = key
        if key not in ours or key not in theirs:
            have, lack = (base, new) if key in ours else (new, base)
            reason = f"only in {have.name}" + _nearest(key, theirs if key in ours else ours, lack)
            left_out.append(LeftOut(cell, reason))
            continue
        measured = [
            [row for row in rows if row.status == "ok"] for rows in (ours[key], theirs[key])
        ]
        failed = [_failure(each, rows[key]) for each, rows in ((base, ours), (new, theirs))]
        if not all(measured):
            reason = "; ".join(filter(None, failed))
            states = {row.status for row in theirs[key]}
            broken = bool(measured[0]) and not measured[1] and not states <= set(EXPECTED)
            left_out.append(LeftOut(cell, reason, broken))
        elif obstacle := _other_work(base, new, *measured):
            left_out.append(LeftOut(cell, obstacle))
        else:
            unexpected = any(row.status not in ("ok", *EXPECTED) for row in theirs[key])
            how = failed[1] if unexpected and not failed[0] else ""
            pairs.append(Pair(cell, machine, measured[0], measured[1], broken=how))
            if partial := "; ".join(filter(None, failed)):
                new.remarks.append(f"{cell.label}, {cell.contest_label}: {partial}")
    return pairs, left_out


def hold(pairs: Sequence[Pair], control: str) -> tuple[list[Pair], list[Pair], list[LeftOut]]:
    """The pairs that are called `control`; all others, each with the one of them that its contest
    has; and those whose contest has none, as well as controls that broke.

    Raises UsageError where there is none at all, or where a contest has several.
    """
    controls: dict[tuple[Any, ...], Pair] = {}
    for pair in pairs:
        if control in (pair.cell.label, pair.cell.label.split(" ")[0]):
            known = controls.setdefault(_contest(pair), pair)
            if known is not pair:
                raise UsageError(
                    f"--control {control}: may be {known.cell.label!r} or {pair.cell.label!r}; "
                    "name one of them in full"
                )
    if not controls:
        labels = dict.fromkeys(pair.cell.label for pair in pairs)
        raise UsageError(f"--control {control}: {unknown('cell of both sides', control, labels)}")
    held, left_out = [], []
    for pair in pairs:
        beside = controls.get(_contest(pair))
        measured = replace(pair, control=beside)
        if beside is pair:
            reason = ""
        elif pair.cell.target_accuracy is not None:
            reason = "is trained to a target, and a control is for speeds"
        elif all(measured.against_control()):
            held.append(measured)
            continue
        else:
            reason = f"{control}, the control, did not run beside it"
        if reasons := "; ".join(filter(None, (reason, pair.broken))):
            left_out.append(LeftOut(pair.cell, reasons, broken=bool(pair.broken)))
    return list(controls.values()), held, left_out


def _contest(pair: Pair) -> tuple[Any, ...]:
    return pair.machine, *pair.cell.contest


def _cells(rows: Iterable[Record], by_machine: bool) -> dict[Key, list[Record]]:
    """Rows by cell; files of users are known by their name, since checkouts lie anywhere."""
    found: dict[Key, list[Record]] = {}
    for row in counted(rows):
        cell = row.cell
        if cell.implementation.endswith(".py"):
            cell = replace(cell, implementation=Path(cell.implementation).name)
        if cell.weights:
            cell = replace(cell, weights=Path(cell.weights).name)
        found.setdefault((cell, row.machine if by_machine else None), []).append(row)
    return found


def _failure(side: Side, rows: Sequence[Record]) -> str:
    """How rows failed; empty where none did."""
    failed = [row for row in rows if row.status != "ok"]
    if not failed:
        return ""
    reasons = dict.fromkeys(f"{row.status} ({row.reason or 'no reason known'})" for row in failed)
    return f"{len(failed)} of {len(rows)} processes in {side.name}: {', '.join(reasons)}"


def _nearest(key: Key, others: Iterable[Key], lack: Side) -> str:
    """In what the most similar cell of the side that lacks this one differs."""
    cell, machine = key
    found = []
    for other, there in others:
        differing = [
            f.name for f in fields(Cell) if getattr(cell, f.name) != getattr(other, f.name)
        ]
        values = [f"{name} {_word(getattr(other, name))}" for name in differing]
        values += [f"machine {there}"] * (machine != there)
        found.append((len(values), values, differing))
    _, values, differing = min(found, key=lambda each: each[0])
    if len(values) > 2 or "implementation" in differing:
        return ""
    cell_values = [f"{name} {_word(getattr(cell, name))}" for name in differing]
    cell_values += [f"machine {machine}"] * (len(values) > len(differing))
    return f" with {', '.join(cell_values)}; {lack.name} has it with {', '.join(values)}"


def _word(value: object) -> str:
    return "unknown" if value is None else str(value)


def _other_work(base: Side, new: Side, ours: list[Record], theirs: list[Record]) -> str | None:
    """Why rows of one cell are not the same work; None where they are."""
    for what, name in (("initial weights", "weights_sha256"), ("batches", "data_sha256")):
        if None in {getattr(row, name) for row in (*ours, *theirs)}:
            return f"{name} is not known of all rows, so that {what} may differ"
        for seed in {row.weights_seed for row in (*ours, *theirs)}:  # of each process in train-to
            prints = [
                {getattr(row, name) for row in rows if row.weights_seed == seed}
                for rows in (ours, theirs)
            ]
            if len(prints[0] | prints[1]) > 1:
                stated = [" and ".join(sorted(p[:12] for p in each)) for each in prints]
                return f"other {what}: {name} {stated[0]} in {base.name}, {stated[1]} in {new.name}"
    for side, rows in ((base, ours), (new, theirs)):
        if len(paths := sorted({row.implementation for row in rows})) > 1:
            return f"{side.name} has it from several files: {', '.join(paths)}"
    return None
