"""What `resnet-bench report` takes for many records: seconds, and the largest resident memory.

`python tests/benchmarks/many_records.py --records 10000` writes a run of made-up records, with raw
lists as long as those of the standard profile, in contests of 25 contenders and 10 processes.
"""

import argparse
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import count, islice, product
from pathlib import Path
from typing import Any

from bench.cells import Workload
from bench.machine.facts import this_machine
from bench.records import Machine, Record, Run
from bench.records.folder import RunFolder
from bench.request.request import Request

STEPS, BLOCKS, LATENCIES = 400, 22, 100
NAMES = ("torch_module", "tensorflow_module", "flax_nnx", "keras_functional", "keras_subclass")
MODES = ("eager", "graph", "compiled", "other", "another")
SETTINGS = {
    **{"cpus": "2", "threads": "2", "interop_threads": "1", "layout": "channels_last, HWIO"},
    **{"parameters": "float32", "computation": "float32", "jit": "none", "onednn": "on"},
    **{"mkl": "on", "malloc": "keeps freed", "optimizer": "Adam, fused"},
}


def records(machine: Machine, replicates: int = 10) -> Iterator[Record]:
    """Rows without end, contest after contest, as a run would leave them."""
    draw = random.Random(0)
    for contest in count():
        workload: Workload = "infer" if contest % 2 else "train"
        for replicate, (name, mode) in product(range(replicates), product(NAMES, MODES)):
            step_s = 0.02 * draw.lognormvariate(0, 0.02) * (1 + 0.01 * NAMES.index(name))
            blocks = [17 * step_s * draw.lognormvariate(0, 0.05) for _ in range(BLOCKS)]
            cores: dict[str, Any] = {
                f"block_{whose}_cores": tuple(draw.uniform(0, 2) for _ in blocks)
                for whose in ("own", "other", "stolen")
            }
            yield Record(
                run_id="many",
                utc="2026-01-01T00:00:00+00:00",
                machine=machine.machine,
                processor=machine.cpu,
                implementation=name,
                framework="some",
                backend="torch",
                mode=mode,
                model="resnet14",
                workload=workload,
                device="cpu",
                precision="fp32",
                batch_size=1 + contest // 2,
                optimizer="adam" if workload == "train" else None,
                recipe="constant" if workload == "train" else None,
                dataset="digits",
                seed=0,
                steps=STEPS,
                threads=2,
                replicate=replicate,
                cohort=f"{contest}-{replicate}",
                status="ok",
                throughput_images_per_s=(1 + contest // 2) / step_s,
                first_step_s=draw.uniform(0.5, 5),
                warmup_s=draw.uniform(0.5, 1),
                import_s=draw.uniform(2, 5),
                build_s=draw.uniform(0.1, 0.2),
                host_baseline_mib=draw.uniform(500, 600),
                host_leak_kib_per_step=draw.gauss(0, 0.1),
                host_peak_mib=draw.uniform(600, 900),
                test_accuracy=0.97 if workload == "train" else None,
                weights_sha256="a" * 64,
                data_sha256="b" * 64,
                certificate_float64="passed",
                certificate_timed="passed",
                block_steps=(17,) * BLOCKS,
                block_s=tuple(blocks),
                block_host_mib=tuple(draw.gauss(700, 0.1) for _ in blocks),
                latency_ms=tuple(draw.lognormvariate(3, 0.1) for _ in range(LATENCIES)),
                losses=tuple(draw.uniform(0, 2) for _ in range(STEPS * (workload == "train"))),
                versions={"python": "3.13.1", "torch": "2.13.0", "numpy": "2.4.6"},
                settings=SETTINGS,
                **cores,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=10_000)
    options = parser.parse_args()
    machine = this_machine()
    run = Run(run_id="many", command="resnet-bench run", options=Request(), machine=machine)
    with tempfile.TemporaryDirectory() as name:
        RunFolder.create(Path(name), run)
        with Path(name, "records.jsonl").open("w", encoding="utf-8") as file:
            for record in islice(records(machine), options.records):
                file.write(record.to_json() + "\n")
            size_mib = file.tell() / 2**20
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "bench", "report", name], stdout=subprocess.DEVNULL, check=True
        )
        passed_s = time.perf_counter() - start
        peak_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(
            f"{options.records} records of {size_mib:.0f} MiB: {passed_s:.1f} s, {peak_mib:.0f} MiB"
        )


if __name__ == "__main__":
    main()
