"""How far the shards of a plan are, by their folders alone: nobody has to be asked."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bench.errors import UsageError
from bench.plan.shards import Part, cut
from bench.records import manifest
from bench.records.folder import RunFolder
from bench.records.reading import parsed
from bench.records.record import EXPECTED, Record
from bench.records.run import Run
from bench.records.versions import unlike_runs
from bench.request.matrix import cells_of
from bench.validation import parse, part

SILENT_S = 900.0  # without a record, after which nobody seems to measure: locks may end at a node
State = Literal["measured", "measuring", "stopped"]
Row: Any = part(Record, ("status", "attempt"))


@dataclass(frozen=True)
class ShardStatus:
    """One shard, or a whole run."""

    folder: RunFolder
    state: State
    records: int
    failed: int  # records that are not ok, but for what cannot run there
    of: int | None  # records that it will have at least; None: not known
    silent_s: float  # since its folder last changed

    @property
    def name(self) -> str:
        """`2/3`, or the name of a whole run."""
        run = self.folder.run
        return run.shard.name if run.shard else run.run_id


@dataclass(frozen=True)
class PlanStatus:
    """The shards of one plan that have begun, and how many have not."""

    plan: str | None  # None: whole runs
    shards: Sequence[ShardStatus]
    absent: int
    records: int | None  # of the whole plan, at least; None: not known
    unlike: str  # versions that differ; empty: none


def status(folders: Iterable[RunFolder]) -> list[PlanStatus]:
    """How far runs are, plan by plan. Raises UsageError for records that cannot be read."""
    plans: dict[str | None, list[RunFolder]] = {}
    for folder in folders:
        shard = folder.run.shard
        plans.setdefault(shard.plan if shard else None, []).append(folder)
    return [_plan(plan, found) for plan, found in plans.items()]


def _plan(plan: str | None, folders: Sequence[RunFolder]) -> PlanStatus:
    first = folders[0].run.shard
    sizes = _sizes(folders[0].run) if first else {}
    shards = [_shard(folder, sizes) for folder in folders]
    runs = [folder.run for folder in folders]
    numbers = {run.shard.number for run in runs if run.shard}
    repeated = len(runs) > len(numbers)  # each kind of machine measures the whole plan
    times = len({(run.machine.machine, run.machine.cpu) for run in runs}) if repeated else 1
    return PlanStatus(
        plan=plan,
        shards=shards,
        absent=max(0, times * first.of - len(folders)) if first else 0,
        records=times * sum(sizes.values()) if sizes else None,
        unlike=unlike_runs(runs) if first else "",
    )


def _shard(folder: RunFolder, sizes: Mapping[int, int]) -> ShardStatus:
    of = sizes.get(folder.run.shard.number) if folder.run.shard else None
    file = folder.path / "records.jsonl"
    rows = failed = 0
    for _, row in parsed(file, lambda line: parse(line, Row)) if file.exists() else ():
        rows += not row.attempt
        failed += not row.attempt and row.status not in ("ok", *EXPECTED)
    changed = max(
        each.stat().st_mtime for each in (file, folder.path / "run.json") if each.exists()
    )
    silent_s = max(0.0, time.time() - changed)
    state: State = "stopped"
    if folder.goes_on:
        state = "measuring"
    elif (of is not None and rows >= of) or (folder.path / manifest.FILE).exists():
        state = "measured"
    elif silent_s < SILENT_S:
        state = "measuring"
    return ShardStatus(folder, state, rows, failed, of, silent_s)


def _sizes(run: Run) -> dict[int, int]:
    """Number of each shard -> its records; nothing where this version has no such plan."""
    assert run.shard
    try:
        parts = cut(run.options, cells_of(run.options), run.shard.of)
    except UsageError:
        return {}
    if parts[0].shard.plan != run.shard.plan:
        return {}
    return {each.shard.number: _processes(each, run) for each in parts}


def _processes(part: Part, run: Run) -> int:
    return len(part.cells) * (run.options.replicates or 1) - len(part.elsewhere)
