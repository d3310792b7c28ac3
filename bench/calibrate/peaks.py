"""What a machine can do at best, measured by `bench.worker.peak_probe` in a process of its own.

The best of a day counts, and runs in close succession do not wait for it again; `run.json` keeps
the peaks that a run was held against.
"""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from bench import cache
from bench.calibrate.dependencies import versions
from bench.cells import Cell
from bench.executables import PRECISIONS
from bench.machine import cpus, devices, facts
from bench.obstacles import obstacle
from bench.parent.child import Failure, one_worker
from bench.records.run import Peak, peak_key
from bench.request.matrix import cells_of
from bench.request.request import Request
from bench.validation import plain
from bench.worker import peak_probe
from bench.worker.environment import Environment
from bench.worker.protocol import ProbePeaks

RECENT_S = 600.0

Peaks = dict[str, dict[str, Peak]]  # device -> "threads/precision" -> its peak


def probe(
    cells: Iterable[Cell],
    timeout_s: float,
    say: Callable[[str], None] = lambda line: None,
    *,
    remembered: bool = True,
) -> Peaks:
    """The peaks of each device, precision and number of threads among `cells` that can run here.

    One that was measured within RECENT_S is taken as it is, but not where `remembered` is False;
    others are measured again, and the best of the day counts. `say` gets a line for each that is
    measured, and for each that cannot be and has no peak.
    """
    peaks: Peaks = {}
    for environment in dict.fromkeys(map(_environment, _able(cells))):
        device, precision = environment.device, environment.precision
        name = f"peaks/{_fingerprint(environment)}.json"
        found = cache.read_as(name, Peak)
        if found is None or not remembered or _old(name):
            say(f"measuring the peak of the {device} in {precision}")
            try:
                found = _best(found, _measured(environment, timeout_s))
            except Failure as failure:
                say(f"no peak of the {device} in {precision}: {failure.reason}")
                continue
            cache.keep(name, json.dumps(plain(found)))
        peaks.setdefault(device, {})[peak_key(environment.threads, precision)] = found
    return peaks


def known(cells: Iterable[Cell]) -> tuple[Peaks, int]:
    """The peaks of the day that `probe` knows already of `cells`, which can run here, and how many
    it would measure. Nothing is measured.
    """
    peaks: Peaks = {}
    wanted = 0
    for environment in dict.fromkeys(map(_environment, cells)):
        name = f"peaks/{_fingerprint(environment)}.json"
        found = cache.read_as(name, Peak)
        wanted += found is None or _old(name)
        if found:
            key = peak_key(environment.threads, environment.precision)
            peaks.setdefault(environment.device, {})[key] = found
    return peaks, wanted


def of_this_machine() -> Peaks:
    """The peaks of all devices and precisions that anything installed computes in."""
    request = Request(
        impl=("all",),
        model=("resnet14", "resnet18"),
        workload=("infer",),
        device=tuple(devices.found()),
        precision=PRECISIONS,
        batch_size=(1,),
        dataset="synthetic",
        steps=1,
        threads=(cpus.cores(),),
    )
    return probe(cells_of(request), timeout_s=600, remembered=False)


def _able(cells: Iterable[Cell]) -> list[Cell]:
    return [cell for cell in cells if obstacle(cell) is None]


def _old(name: str) -> bool:
    age_s = cache.age_s(name)
    return age_s is None or age_s >= RECENT_S


def _environment(cell: Cell) -> Environment:
    """All of a cell that a peak depends on."""
    return Environment(cell.device, cell.precision, cell.threads)


def _measured(environment: Environment, timeout_s: float) -> Peak:
    """Raises Failure where the process that measures fails."""
    with one_worker(environment) as child:
        request = ProbePeaks(device=environment.device, precision=environment.precision)
        answer = child.ask(request, timeout_s)
    return Peak(
        gflop_per_s=answer.gflop_per_s,
        library=answer.library,
        copy_gb_per_s=answer.copy_gb_per_s,
        sustained_gflop_per_s=answer.sustained_gflop_per_s,
        utc=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _best(known: Peak | None, measured: Peak) -> Peak:
    """Of two measurements: a machine that was busy in one of them can do what it did in the other.

    The time is that of the last.
    """
    if known is None:
        return measured
    faster = max(measured, known, key=lambda peak: peak.gflop_per_s)
    copied = max(measured.copy_gb_per_s, known.copy_gb_per_s)
    return replace(faster, copy_gb_per_s=copied, utc=measured.utc)


def _fingerprint(environment: Environment) -> str:
    """Of all that a peak depends on, and of the day."""
    machine = facts.this_machine()
    depends = {
        "day": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": [machine.machine, machine.cpu, machine.logical_cores, plain(machine.gpus)],
        "cores": sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else None,
        "environment": environment.library_variables(),
        "versions": versions(("numpy", "torch", "jax", "jaxlib"), environment.device),
        "probe": Path(peak_probe.__file__).read_text(encoding="utf-8"),
        "environment of the worker": plain(environment),
    }
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:32]
