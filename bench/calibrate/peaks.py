"""What a machine can do at best, measured by `bench.worker.peak_probe` in a process of its own.

The best of a day counts, and runs in close succession do not wait for it again; `run.json` keeps
those that a run was held against.
"""

import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.cells import PRECISIONS, Cell, installed, obstacle
from bench.files import CACHE, keep
from bench.machine import cpus
from bench.machine import facts as machine
from bench.parent.child import Child, Failure
from bench.request.matrix import matrix
from bench.worker import peak_probe
from bench.worker.environment import libraries_environment

RECENT_S = 600.0

# device -> "threads/precision" -> gflop_per_s, library, copy_gb_per_s, utc (of the measurement)
Peaks = Mapping[str, Mapping[str, Mapping[str, Any]]]


def peak_of(peaks: Peaks | None, cell: Cell) -> Mapping[str, Any] | None:
    """The peak that `cell` is held against; None where none is known."""
    return (peaks or {}).get(cell.device, {}).get(_key(cell))


def _key(cell: Cell) -> str:
    return f"{cell.threads or 'all'}/{cell.precision}"


def probe(
    cells: Iterable[Cell],
    timeout_s: float,
    say: Callable[[str], None] = lambda line: None,
    *,
    remembered: bool = True,
) -> Peaks:
    """The peaks of each device, precision and number of threads among `cells` that can run here.

    One that was measured within RECENT_S is taken as it is, but not where `remembered` is False;
    others are measured again, and the best of the day counts. `say` is told what is measured, and
    what cannot be; of that there is no peak.
    """
    peaks: dict[str, dict[str, Mapping[str, Any]]] = {}
    for subject in dict.fromkeys(_subject(cell) for cell in cells if obstacle(cell) is None):
        file = CACHE / "peaks" / f"{_fingerprint(subject)}.json"
        known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
        if known and remembered and time.time() - file.stat().st_mtime < RECENT_S:
            found = known
        else:
            say(f"measuring the peak of the {subject.device} in {subject.precision}")
            try:
                found = _best(known, _measured(subject, timeout_s))
            except Failure as failure:
                say(f"no peak of the {subject.device} in {subject.precision}: {failure.reason}")
                continue
            keep(file, json.dumps(found))
        peaks.setdefault(subject.device, {})[_key(subject)] = found
    return peaks


def _best(known: Mapping[str, Any] | None, measured: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of two measurements: a machine that was busy in one of them can do what it did in the other.

    The time is that of the last.
    """
    faster = max(measured, known or measured, key=lambda peak: peak["gflop_per_s"])
    copies = [peak["copy_gb_per_s"] for peak in (measured, known or measured)]
    return {**faster, "copy_gb_per_s": max(copies), "utc": measured["utc"]}


def of_this_machine() -> Peaks:
    """The peaks of all devices and precisions that anything installed computes in."""
    every = matrix(
        impl=["all"],
        mode=None,
        model=["resnet14", "resnet18"],
        workload=["infer"],
        device=["cpu", "cuda"] if machine.gpus() else ["cpu"],
        precision=PRECISIONS,
        batch_size=[1],
        optimizer=["sgd"],
        dataset="synthetic",
        seed=0,
        steps=1,
        threads=[cpus.cores()],
    )
    return probe(every, timeout_s=600, remembered=False)


def _subject(cell: Cell) -> Cell:
    """A cell without all that a peak does not depend on."""
    return replace(
        cell,
        implementation="torch_module",
        backend="torch",
        mode="",
        model="",
        workload="",
        batch_size=0,
        optimizer=None,
        recipe=None,
        weights=None,
        dataset="",
        seed=0,
        steps=0,
        input=None,
        target_accuracy=None,
        evaluate_every=None,
    )


def _measured(subject: Cell, timeout_s: float) -> dict[str, Any]:
    """Raises Failure where the process that measures fails."""
    with tempfile.TemporaryDirectory(prefix="resnet-bench-") as folder:
        child = Child(subject, None, Path(folder) / "log")
        try:
            answer = child.ask("probe", timeout_s)
        finally:
            child.end()
    return answer | {"utc": datetime.now(UTC).isoformat(timespec="seconds")}


def _fingerprint(subject: Cell) -> str:
    """Of all that a peak depends on, and of the day."""
    facts = machine.facts()
    depends = {
        "day": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": {name: facts[name] for name in ("machine", "cpu", "logical_cores", "gpus")},
        "cores": sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else None,
        "environment": libraries_environment(subject),
        "versions": {name: installed(name) for name in ("numpy", "torch", "jax")},
        "probe": Path(peak_probe.__file__).read_text(encoding="utf-8"),
        "subject": subject.as_dict(),
    }
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:32]
