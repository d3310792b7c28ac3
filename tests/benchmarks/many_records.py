"""What very many records and cells take: seconds, and the largest resident memory.

    python tests/benchmarks/many_records.py --records 20000                     # one run
    python tests/benchmarks/many_records.py --records 1000000 --machines 1000   # of the same plan
    python tests/benchmarks/many_records.py --records 1000000 --shards 1000     # of one plan
    python tests/benchmarks/many_records.py --cells 100000 --shards 1000        # to plan and cut

Records are made up, with raw lists as long as those of the standard profile, in contests of 25
contenders and 10 processes. Of machines every fourth has another processor, which is 1.5 times as
fast, and one of 200 is slower than its kind by 10 %.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from itertools import count, islice, product
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.machine.facts import this_machine
from bench.records import Machine, Run
from bench.records.folder import RunFolder
from bench.records.run import Shard
from bench.request.request import Request

STEPS, BLOCKS, LATENCIES = 400, 22, 100
NAMES = ("torch_module", "tensorflow_module", "flax_nnx", "keras_functional", "keras_subclass")
MODES = ("eager", "graph", "compiled", "other", "another")
REPLICATES = 10
CONTEST = len(NAMES) * len(MODES) * REPLICATES  # records
SETTINGS = {
    **{"cpus": "2", "threads": "2", "interop_threads": "1", "layout": "channels_last, HWIO"},
    **{"parameters": "float32", "computation": "float32", "jit": "none", "onednn": "on"},
    **{"mkl": "on", "malloc": "keeps freed", "optimizer": "Adam, fused"},
}
FIXED = {
    **{"utc": "2026-01-01T00:00:00+00:00", "framework": "some", "backend": "torch"},
    **{"model": "resnet14", "device": "cpu", "precision": "fp32", "dataset": "digits", "seed": 0},
    **{"steps": STEPS, "threads": 2, "status": "ok", "weights_sha256": "a" * 64},
    **{"data_sha256": "b" * 64, "certificate_float64": "passed", "certificate_timed": "passed"},
    **{"block_steps": (17,) * BLOCKS},
    "versions": {"python": "3.13.1", "torch": "2.13.0", "numpy": "2.4.6"},
}
WITHIN = {  # a number that is drawn evenly
    **{"first_step_s": (0.5, 5), "warmup_s": (0.5, 1), "import_s": (2, 5), "build_s": (0.1, 0.2)},
    **{"host_baseline_mib": (500, 600), "host_peak_mib": (600, 900)},
}


def lines(run: Run, draw: np.random.Generator, first: int, speed: float) -> Iterator[bytes]:
    """Rows without end, contest after contest from the `first`, as a run would leave them."""
    for contest in count(first):
        training, size = contest % 2 == 0, 1 + contest // 2
        learns = {"optimizer": "adam", "recipe": "constant", "test_accuracy": 0.97}
        for replicate, (name, mode) in product(range(REPLICATES), product(NAMES, MODES)):
            usual_s = 0.02 * size / speed * (1 + 0.01 * NAMES.index(name))
            step_s = usual_s * float(draw.lognormal(0, 0.02))
            row: dict[str, Any] = FIXED | {
                **{"run_id": run.run_id, "machine": run.machine.machine},
                **{"processor": run.machine.cpu, "implementation": name, "mode": mode},
                **{"workload": "train" if training else "infer", "batch_size": size},
                **{"replicate": replicate, "cohort": f"{contest}-{replicate}"},
                "throughput_images_per_s": size / step_s,
                "host_leak_kib_per_step": float(draw.normal(0, 0.1)),
                **{field: float(draw.uniform(*ends)) for field, ends in WITHIN.items()},
                "block_s": (17 * step_s * draw.lognormal(0, 0.05, BLOCKS)).tolist(),
                "block_host_mib": draw.normal(700, 0.1, BLOCKS).tolist(),
                "block_own_cores": draw.uniform(1.8, 2, BLOCKS).tolist(),
                "block_other_cores": draw.uniform(0, 0.1, BLOCKS).tolist(),
                "block_stolen_cores": draw.uniform(0, 0.1, BLOCKS).tolist(),
                "latency_ms": draw.lognormal(3, 0.1, LATENCIES).tolist(),
                "losses": draw.uniform(0, 2, STEPS * training).tolist(),
                "settings": SETTINGS | {"jit": "inductor" if mode == "compiled" else "none"},
                **(learns if training else {}),
            }
            yield msgspec.json.encode(row) + b"\n"


def write_runs(folder: Path, records: int, machines: int, shards: int) -> list[Path]:
    """Folders of runs: one of each machine, or the shards of one plan."""
    here, runs = this_machine(), max(machines, shards)
    each, found = records // runs, []
    for number in range(runs):
        machine = here if machines == 1 else node(here, number)
        run = Run(
            run_id=f"run-{number + 1:04}",
            utc="2026-01-01T00:00:00+00:00",
            command="resnet-bench run",
            options=Request(),
            machine=machine,
            shard=Shard(number=number + 1, of=shards, plan="c" * 64) if shards > 1 else None,
        )
        draw = np.random.default_rng(number)
        speed = 1.5 if machine.cpu.startswith("Another") else 1.0
        speed *= float(draw.lognormal(0, 0.005)) * (0.9 if number % 200 == 7 else 1.0)
        first = number * -(-each // CONTEST) if shards > 1 else 0
        found.append(folder / run.run_id)
        RunFolder.create(found[-1], run)
        with (found[-1] / "records.jsonl").open("wb") as file:
            file.writelines(islice(lines(run, draw, first, speed), each))
    return found


def node(machine: Machine, number: int) -> Machine:
    """Another machine of the like; every fourth has another processor."""
    cpu = f"Another {machine.cpu}" if number % 4 == 3 else machine.cpu
    return replace(machine, machine=f"node{number + 1:04}", cpu=cpu)


def report(folders: Sequence[Path], folder: Path) -> None:
    """Measure a report of runs; print what it takes."""
    several = ["--out", str(folder / "merged")] if len(folders) > 1 else []
    size_mib = sum((each / "records.jsonl").stat().st_size for each in folders) / 2**20
    rows = 0
    for each in folders:  # line by line: a child's memory counts from that of its parent
        with (each / "records.jsonl").open("rb") as file:
            rows += sum(1 for _ in file)
    words = [sys.executable, "-m", "bench", "report", *map(str, folders), *several]
    start_s = time.perf_counter()
    subprocess.run(words, stdout=subprocess.DEVNULL, check=True)
    passed_s = time.perf_counter() - start_s
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"report of {rows:,} records of {size_mib:,.0f} MiB in {len(folders):,} runs: "
        f"{passed_s:.1f} s, {used.ru_utime + used.ru_stime:.1f} s of processor time, "
        f"{used.ru_maxrss / 1024:,.0f} MiB"
    )


def plan(cells: int, shards: int) -> None:
    """Measure the plan of so many cells, and its cut into shards; print what they take."""
    from bench.plan.plan import plan as planned
    from bench.plan.shards import cut
    from bench.request.matrix import cells_of
    from bench.request.profiles import PROFILES
    from bench.run.check import filled

    contenders = len(cells_of(filled(request((1,)), PROFILES["quick"])))
    sizes = tuple(range(1, -(-cells // contenders) + 1))
    asked = filled(request(sizes), PROFILES["quick"])
    found = cells_of(asked)
    parts: dict[str, Callable[[], object]] = {
        "cells": lambda: cells_of(asked),
        f"cut into {shards:,} shards": lambda: cut(asked, found, shards),
        "plan": lambda: planned(asked, found),
    }
    for name, of in parts.items():
        start_s = time.process_time()
        of()
        passed_s = time.process_time() - start_s
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        told = f"{passed_s:.1f} s of processor time, {peak_mib:,.0f} MiB so far"
        print(f"{len(found):,} cells, {name}: {told}")
    print(f"run.json of that plan: {len(msgspec.json.encode(asdict(asked))) / 1024:,.0f} KiB")


def request(sizes: tuple[int, ...]) -> Request:
    """All frameworks in both workloads, for batches of these sizes."""
    return Request(impl=("all",), impl_named=True, batch_size=sizes, device=("cpu",), threads=(2,))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--machines", type=int, default=1)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--cells", type=int, help="plan and cut so many instead")
    parser.add_argument("--folder", type=Path, help="where runs are kept, and taken from if there")
    options = parser.parse_args()
    if options.cells:
        plan(options.cells, options.shards)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name)
        found = sorted(folder.glob("run-*"))
        if not found:
            os.makedirs(folder, exist_ok=True)
            found = write_runs(folder, options.records, options.machines, options.shards)
        report(found, Path(name))


if __name__ == "__main__":
    main()
