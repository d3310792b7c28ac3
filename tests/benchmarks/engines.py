"""How far each inference engine's implementation is from the fastest script written by hand.

`python tests/benchmarks/engines.py` interleaves a worker of each with `bare_engine.py`: the
worker's step time over the script's, paired round by round, with a bootstrap interval.
"""

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.cells import Cell
from bench.command_line.matrix import matrix
from bench.parent.child import Child, environment
from bench.parent.measurement import Measurement
from bench.run.measure import shared_data

TIMEOUT_S = 600.0
BARE_ENGINE = Path(__file__).with_name("bare_engine.py")
ENGINES = ("onnxruntime_engine", "openvino_engine", "torch_export")


def cell(name: str) -> Cell:
    """Batched inference of resnet14 by `name`."""
    return matrix(
        impl=[name],
        mode=None,
        model=["resnet14"],
        workload=["infer"],
        device=["cpu"],
        precision=["fp32"],
        batch_size=[64],
        optimizer=["adam"],
        dataset="digits",
        seed=0,
        steps=10_000,  # more than are ever run
    )[0]


class Bare:
    """The bare script, warmed up, and suspended between its blocks as a worker is."""

    def __init__(self, which: Cell, data: Path, options: list[str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(BARE_ENGINE), which.implementation, str(data), *options],
            env={**os.environ, **environment(which)},
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


def compare(which: Cell, data: Path, log: Path, rounds: int, steps: int, options: list[str]) -> str:
    """The ratio of step times, worker over script, in words."""
    measurement = Measurement((which, 0), Child(which, data, log))
    measurement.turn("build", TIMEOUT_S)
    measurement.turn("warm_up", TIMEOUT_S, steps=10)
    bare = Bare(which, data, options)
    ratios, speeds = [], []
    for index in range(rounds):
        pair = {}
        for side in ("worker", "bare") if index % 2 else ("bare", "worker"):
            if side == "worker":
                assert measurement.turn("block", TIMEOUT_S, steps=steps)
                pair[side] = float(measurement.values["block_s"][-1])
            else:
                pair[side] = bare.block_s(steps)
        ratios.append(pair["worker"] / pair["bare"])
        speeds.append(which.batch_size * steps / pair["worker"])
    measurement.child.end()
    bare.end()
    resampled = sorted(statistics.median(random.choices(ratios, k=rounds)) for _ in range(2000))
    return (
        f"{' '.join([which.implementation, *options])}: {statistics.median(ratios):.4f} "
        f"[{resampled[50]:.4f}, {resampled[-50]:.4f}] times the bare script's step, median of "
        f"{rounds} rounds; {statistics.median(speeds):,.0f} images/s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--impl", nargs="+", choices=ENGINES, default=ENGINES)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--options", nargs="*", default=[], help="for the bare script: spin, ...")
    options = parser.parse_args()
    cells = [cell(name) for name in options.impl]
    with tempfile.TemporaryDirectory() as folder, shared_data(cells, None) as folders:
        for which in cells:
            log = Path(folder) / "log"
            line = compare(
                which, folders[which], log, options.rounds, options.steps, options.options
            )
            print(line, flush=True)


if __name__ == "__main__":
    main()
