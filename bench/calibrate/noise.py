"""The noise floor: the difference that a machine shows between a cell and itself.

Two workers of the same cell are measured side by side as two contenders of a run are, in some pairs
of fresh processes. What is learnt is kept for this machine, and later runs take it over.
"""

import hashlib
import json
import math
import statistics
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.analysis.statistics import noise_floor
from bench.cells import Cell, obstacle
from bench.data.sharing import shared_data
from bench.errors import UsageError
from bench.files import CACHE, keep
from bench.machine import cpus
from bench.machine import facts as machine
from bench.parent.child import Failure
from bench.parent.measurement import Outcome
from bench.parent.schedule import Schedule
from bench.request.matrix import matrix
from bench.request.profiles import PROFILES

PAIRS = 5
FACTS = ("cpu", "physical_cores", "logical_cores", "memory_gib", "gpus")  # what a floor belongs to
CONTENDERS = ("torch_module", "flax_nnx", "tensorflow_module")  # the first that is there


def cell(impl: str | None, device: str | None) -> Cell:
    """The cell to compare with itself. Raises UsageError where it is not one, or cannot run."""
    device = device or ("cuda" if machine.gpus() else "cpu")
    if device == "cuda" and not machine.gpus():
        raise UsageError("--device cuda: this machine shows no NVIDIA GPU; use --device cpu")
    load = PROFILES["quick"].load([device], ["resnet14"])
    for name in [impl] if impl else CONTENDERS:
        cells = matrix(
            impl=[name],
            mode=None,
            model=["resnet14"],
            workload=["train"],
            device=[device],
            precision=["fp32"],
            batch_size=[load.batch_size],
            optimizer=["adam"],
            dataset="digits",
            seed=0,
            steps=load.steps,
            threads=[cpus.cores()],
        )
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
        logs = ending.enter_context(tempfile.TemporaryDirectory(prefix="resnet-bench-"))
        folders = ending.enter_context(shared_data([cell], None))
        schedule = Schedule(folders, Path(logs), timeout_s=600, seed=0)
        found = schedule.run([(cell, pair) for pair in range(PAIRS)] * 2)
        ending.enter_context(closing(found))
        waiting: Outcome | None = None
        for _, outcome in found:
            if outcome["status"] != "ok":
                raise Failure(outcome["status"], outcome["reason"])
            if waiting is None:
                waiting = outcome
                continue
            if waiting["cohort"] != outcome["cohort"]:
                raise Failure("oom", "memory holds no two workers side by side; free some")
            blocks = zip(waiting["block_s"], outcome["block_s"], strict=True)
            yield math.log(statistics.median(ours / theirs for ours, theirs in blocks))
            waiting = None


def remember(cell: Cell, logs: Sequence[float]) -> Path:
    """Keep what was measured of this machine, in place of what was known of the device."""
    file = _file(machine.facts())
    found = _read(file) | {
        cell.device: {
            "contender": cell.label,
            "contest": cell.contest_label,
            "log_ratios": list(logs),
            "utc": datetime.now(UTC).isoformat(timespec="seconds"),
        }
    }
    keep(file, json.dumps(found, indent=2) + "\n")
    return file


def known(
    devices: Iterable[str], replicates: int, machine_facts: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """The floors of comparisons with so many processes per cell, by device: the `noise_floor` of
    `run.json`. Devices that were never measured are left out.
    """
    found = _read(_file(machine_facts))
    return {
        device: {
            "value": noise_floor(found[device]["log_ratios"], replicates),
            "replicates": replicates,
            **found[device],
        }
        for device in devices
        if device in found
    }


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError:
        raise UsageError(f"{file}: is damaged; delete it") from None
    return found


def _file(machine_facts: Mapping[str, Any]) -> Path:
    key = json.dumps({name: machine_facts[name] for name in FACTS}, sort_keys=True)
    return CACHE / "noise" / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
