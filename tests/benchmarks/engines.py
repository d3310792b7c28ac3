"""How far each inference engine's implementation is from the fastest script written by hand.

`python tests/benchmarks/engines.py` interleaves a worker of each with `bare_engine.py`: the
worker's step time over the script's, the median of the rounds; stated is the mean over several
such pairs of processes with its 95 % interval.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.analysis.statistics import estimate
from bench.cells import Cell
from bench.data.sharing import shared_data
from bench.parent.child import Child
from bench.parent.measurement import Measurement
from bench.request.matrix import cells_of
from bench.request.request import Request
from bench.worker.environment import Environment

TIMEOUT_S = 600.0
BARE_ENGINE = Path(__file__).with_name("bare_engine.py")
ENGINES = ("onnxruntime_engine", "openvino_engine", "torch_export", "litert_engine")


def cell(name: str) -> Cell:
    """Batched inference of resnet14 by `name`."""
    request = Request(
        impl=(name,),
        workload=("infer",),
        device=("cpu",),
        batch_size=(64,),
        steps=10_000,  # more than are ever run
    )
    return cells_of(request)[0]


class Bare:
    """The bare script, warmed up, and suspended between its blocks as a worker is."""

    def __init__(self, which: Cell, data: Path, options: list[str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(BARE_ENGINE), which.implementation, str(data), *options],
            env={**os.environ, **Environment.of(which).variables()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.block_s(10)

    def block_s(self, steps: int) -> float:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        seconds = float(self.process.stdout.readline())
        self.process.send_signal(signal.SIGSTOP)
        return seconds

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def ratio(which: Cell, data: Path, log: Path, rounds: int, steps: int, options: list[str]) -> float:
    """The worker's step time over the script's, of one process each: the median of the rounds."""
    child = Child(Environment.of(which), log)
    measurement = Measurement((which, 0), child, TIMEOUT_S, lambda task, name, steps: None)
    measurement.begin_build(data)
    assert measurement.end_build(alone=True)
    assert measurement.warm_up(10)
    bare = Bare(which, data, options)
    ratios = []
    for index in range(rounds):
        pair = {}
        for side in ("worker", "bare") if index % 2 else ("bare", "worker"):
            if side == "worker":
                assert measurement.block(steps)
                pair[side] = measurement.blocks[-1].timed.block_s
            else:
                pair[side] = bare.block_s(steps)
        ratios.append(pair["worker"] / pair["bare"])
    measurement.child.end()
    bare.end()
    return statistics.median(ratios)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--impl", nargs="+", choices=ENGINES, default=ENGINES)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--options", nargs="*", default=[], help="for the bare script: spin, ...")
    options = parser.parse_args()
    cells = [cell(name) for name in options.impl]
    print("| engine | time over the script's |\n|---|---:|", flush=True)
    with tempfile.TemporaryDirectory() as folder, shared_data(cells, None) as folders:
        for which in cells:
            log = Path(folder) / "log"
            load = options.rounds, options.steps, options.options
            ratios = [ratio(which, folders[which], log, *load) for _ in range(options.processes)]
            found = estimate(ratios)
            assert found
            interval = f" [{found.low:.3f}, {found.high:.3f}]" if found.high else ""
            print(f"| {which.implementation} | {found.value:.3f}{interval} |", flush=True)


if __name__ == "__main__":
    main()
