"""The noise floor: the difference that a machine shows between a cell and itself.

Two workers of the same cell are measured side by side as two contenders of a run are, in some pairs
of fresh processes. The result is kept for this machine, and later runs take it over.
"""

import hashlib
import json
import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from bench import cache
from bench.analysis.statistics import noise_floor
from bench.cells import Cell
from bench.data.sharing import shared_data
from bench.errors import UsageError
from bench.machine import cpus, devices, facts
from bench.obstacles import obstacle
from bench.parent.child import Failure
from bench.parent.outcome import Outcome
from bench.parent.schedule import Schedule
from bench.records.run import Machine, Neighbour, NoiseFloor
from bench.request.matrix import cells_of
from bench.request.profiles import PROFILES
from bench.request.request import Request
from bench.temporary import TemporaryFolder
from bench.validation import HUGE, plain

PAIRS = 5
LARGEST_LOG = 2 * math.log(HUGE)  # of the ratio of two speeds
CONTENDERS = ("torch_module", "flax_nnx", "tensorflow_module")  # the first that is there


@dataclass(frozen=True)
class Differences:
    """What a device showed between a cell and itself."""

    contender: str
    contest: str
    # Of the speeds of each pair
    log_ratios: Annotated[
        tuple[Annotated[float, Meta(ge=-LARGEST_LOG, le=LARGEST_LOG)], ...], Meta(min_length=1)
    ]
    utc: str
    neighbours: tuple[Neighbour, ...] | None = None  # seen before; None: nobody looked


def cell(impl: str | None, device: str | None) -> Cell:
    """The cell to compare with itself. Raises UsageError where it is not one, or cannot run."""
    device = device or devices.default()
    devices.check((device,))
    load = PROFILES["quick"].load([device], ["resnet14"])
    for name in [impl] if impl else CONTENDERS:
        request = Request(
            impl=(name,),
            workload=("train",),
            device=(device,),
            batch_size=(load.batch_size,),
            steps=load.steps,
            threads=(cpus.cores(),),
        )
        cells = cells_of(request)
        if len(cells) > 1:
            labels = ", ".join(each.label.rpartition(" ")[0] for each in cells)
            raise UsageError(
                f"--impl {name}: --aa compares one with itself, and this names {len(cells)}; "
                f"choose from {labels}"
            )
        forbidden = obstacle(cells[0])
        if forbidden is None:
            return cells[0]
        if impl:
            raise UsageError(f"--impl {impl}: {forbidden[1]}; name another")
    raise UsageError(f"--aa: none of {', '.join(CONTENDERS)} is installed; name another by --impl")


def log_ratios(cell: Cell) -> Iterator[float]:
    """Measure the cell against itself, and yield the logarithm of each pair's speed ratio.

    Raises Failure where a worker fails, or memory holds no two of them.
    """
    with ExitStack() as ending:
        logs = ending.enter_context(TemporaryFolder()).path
        folders = ending.enter_context(shared_data([cell], None))
        schedule = Schedule(folders, logs, timeout_s=600, seed=0)
        found = schedule.run([(cell, pair) for pair in range(PAIRS)] * 2)
        ending.enter_context(closing(found))
        waiting: Outcome | None = None
        for _, outcome in found:
            if outcome.status != "ok":
                raise Failure(outcome.status, outcome.reason or "")
            if waiting is None:
                waiting = outcome
                continue
            if waiting.cohort != outcome.cohort:
                raise Failure("oom", "memory holds no two workers side by side; free some")
            blocks = zip(waiting.blocks, outcome.blocks, strict=True)
            ratios = [ours.timed.block_s / theirs.timed.block_s for ours, theirs in blocks]
            yield math.log(statistics.median(ratios))
            waiting = None


def remember(cell: Cell, logs: Sequence[float], found: Sequence[Neighbour]) -> Path:
    """Keep what was measured of this machine, in place of what was known of the device; `found`:
    who else used it.
    """
    name = _entry(facts.this_machine())
    now = datetime.now(UTC).isoformat(timespec="seconds")
    measured = Differences(cell.label, cell.contest_label, tuple(logs), now, tuple(found))
    with cache.updating(name):
        known = _read(name) | {cell.device: measured}
        return cache.keep(name, json.dumps(plain(known), indent=2) + "\n")


def known(devices: Iterable[str], replicates: int, machine: Machine) -> dict[str, NoiseFloor]:
    """The floors of comparisons with so many processes per cell, by device: the `noise_floor` of
    `run.json`. Devices that were never measured are left out.
    """
    found = _read(_entry(machine))
    return {
        device: NoiseFloor(
            value=noise_floor(found[device].log_ratios, replicates),
            replicates=replicates,
            contender=found[device].contender,
            contest=found[device].contest,
            log_ratios=found[device].log_ratios,
            utc=found[device].utc,
            neighbours=found[device].neighbours,
        )
        for device in devices
        if device in found
    }


def _read(name: str) -> dict[str, Differences]:
    """What the cache holds, by device."""
    return cache.read_as(name, dict[str, Differences]) or {}


def _entry(machine: Machine) -> str:
    depends = {
        "cpu": machine.cpu,
        "physical_cores": machine.physical_cores,
        "logical_cores": machine.logical_cores,
        "memory_gib": machine.memory_gib,
        "gpus": plain(machine.gpus),
    }
    key = json.dumps(depends, sort_keys=True)
    return f"noise/{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
