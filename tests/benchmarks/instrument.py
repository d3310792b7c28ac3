"""What the instrument itself costs and how well it cancels the machine's drift, as figures.

`python tests/benchmarks/instrument.py cost` interleaves a worker with a bare PyTorch script:
step time of the one over the other, across pairs of processes as in a run, and the parent's
processor time and memory while both measure.

`python tests/benchmarks/instrument.py request` alternates blocks that are requested and no more
with blocks that are watched as in a run: what a request takes beyond its block, and of the parent's
time.

`python tests/benchmarks/instrument.py drift` measures a cell against itself, interleaved block by
block and one after the other: the error of the ratio, whose true value is 1.

`python tests/benchmarks/instrument.py neighbours` runs a cell alone and beside NEIGHBOURS workers
that are suspended, as the others of a cohort are: what their mere presence costs it.

`--device cuda` does any of these on a GPU.
"""

import argparse
import math
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time

import psutil

from bench.analysis.statistics import estimate
from bench.cells import Cell
from bench.data.sharing import shared_data
from bench.machine.devices import DEVICES
from bench.parent.child import Child
from bench.parent.measurement import Measurement
from bench.request.matrix import cells_of
from bench.request.request import Request
from bench.worker.environment import Environment
from bench.worker.protocol import Block

TIMEOUT_S = 600.0
BLOCK_STEPS = 10  # on a CPU about as long as the blocks of a run
NEIGHBOURS = 6
BARE_LOOP = Path(__file__).with_name("bare_loop.py")


def cell_on(device: str) -> Cell:
    request = Request(
        impl=("torch_module",),
        workload=("train",),
        device=(device,),
        batch_size=(64,),
        steps=1_000_000,  # more than are ever run
    )
    return cells_of(request)[0]


class Worker:
    """A warmed-up worker of a cell."""

    def __init__(self, cell: Cell, data: Path, log: Path) -> None:
        child = Child(Environment.of(cell), log)
        self.measurement = Measurement((cell, 0), child, TIMEOUT_S, lambda task, name, steps: None)
        self.measurement.begin_build(data)
        assert self.measurement.end_build(alone=True)
        assert self.measurement.warm_up(10)
        on_gpu = round(DEVICES[cell.device].block_s / self.measurement.step_s)
        self.steps = BLOCK_STEPS if cell.device == "cpu" else max(BLOCK_STEPS, on_gpu)

    def block_s(self) -> float:
        assert self.measurement.block(self.steps)
        return self.measurement.blocks[-1].timed.block_s

    def unwatched_block_s(self) -> float:
        return self.measurement.child.ask(Block(steps=self.steps), TIMEOUT_S).block_s

    def end(self) -> None:
        self.measurement.child.end()


class BareLoop:
    """The bare script, warmed up, and suspended between its blocks as a worker is."""

    def __init__(self, cell: Cell, data: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(BARE_LOOP), str(data), cell.device],
            env={**os.environ, **Environment.of(cell).variables()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._run(11)

    def block_s(self, steps: int) -> float:
        return self._run(steps)

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()

    def _run(self, steps: int) -> float:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        seconds = float(self.process.stdout.readline())
        self.process.send_signal(signal.SIGSTOP)
        return seconds


def cost(cell: Cell, data: Path, log: Path, rounds: int, repeats: int) -> None:
    parent, start = psutil.Process(), perf_counter()
    before = sum(parent.cpu_times()[:2])
    costs = []
    for _ in range(repeats):
        # Each is once the first to start, which alone can make a process 2 % slower
        worker, bare = Worker(cell, data, log), BareLoop(cell, data)
        worker_first = _ratio(worker, bare, rounds)
        bare, worker = BareLoop(cell, data), Worker(cell, data, log)
        costs.append(math.sqrt(worker_first * _ratio(worker, bare, rounds)))
    wall_s = perf_counter() - start
    cpu_s = sum(parent.cpu_times()[:2]) - before
    pairs = f"{2 * repeats} pairs of processes"
    print(f"worker's step time / bare script's, {pairs}: {stated(costs)}", flush=True)
    print(f"parent: {cpu_s / wall_s:.2%} of one core, {parent.memory_info().rss / 2**20:.0f} MiB")


def stated(ratios: list[float]) -> str:
    """Their mean, and its 95 % interval where one alone does not have to do."""
    found = estimate(ratios)
    assert found is not None
    interval = f" [{found.low:.4f}, {found.high:.4f}]" if found.low and found.high else ""
    return f"{found.value:.4f}{interval}"


def _ratio(worker: Worker, bare: BareLoop, rounds: int) -> float:
    """Of their step times, the median over rounds; both are ended."""
    ratios = []
    for index in range(rounds):
        if index % 2:
            ours, theirs = worker.block_s(), bare.block_s(worker.steps)
        else:
            theirs, ours = bare.block_s(worker.steps), worker.block_s()
        ratios.append(ours / theirs)
    worker.end()
    bare.end()
    return statistics.median(ratios)


def request(cell: Cell, data: Path, log: Path, rounds: int) -> None:
    worker = Worker(cell, data, log)
    ways = {"requested": worker.unwatched_block_s, "watched": worker.block_s}
    beyond_ms: dict[str, list[float]] = {way: [] for way in ways}
    parent_ms: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way in random.sample(list(ways), 2):
            start, cpu_s = perf_counter(), process_time()
            block_s = ways[way]()
            parent_ms[way].append((process_time() - cpu_s) * 1e3)
            beyond_ms[way].append((perf_counter() - start - block_s) * 1e3)
    worker.end()
    for way in ways:
        beyond, parent = statistics.median(beyond_ms[way]), statistics.median(parent_ms[way])
        print(f"{way}: {beyond:.2f} ms beyond the block, {parent:.2f} ms of the parent's CPU")
    print(f"medians of {rounds}; parent: {psutil.Process().memory_info().rss / 2**20:.0f} MiB")


def drift(cell: Cell, data: Path, log: Path, rounds: int, repeats: int) -> None:
    errors: dict[str, list[float]] = {"interleaved": [], "one after the other": []}
    for _ in range(repeats):
        first, second = Worker(cell, data, log), Worker(cell, data, log)
        pairs = [(first.block_s(), second.block_s()) for _ in range(rounds)]
        errors["interleaved"].append(statistics.median(a / b for a, b in pairs) - 1)
        first.end()
        second.end()
        medians = []
        for _ in range(2):
            worker = Worker(cell, data, log)
            medians.append(statistics.median(worker.block_s() for _ in range(rounds)))
            worker.end()
        errors["one after the other"].append(medians[0] / medians[1] - 1)
        for way, values in errors.items():
            rms = math.sqrt(statistics.fmean(value**2 for value in values))
            stated = ", ".join(f"{value:+.3f}" for value in values)
            print(f"{way}: rms error of the ratio {rms:.2%} ({stated})", flush=True)


def neighbours(cell: Cell, data: Path, log: Path, rounds: int, repeats: int) -> None:
    def median_s(worker: Worker) -> float:
        return statistics.median(worker.block_s() for _ in range(rounds))

    ratios = []
    for _ in range(repeats):
        worker = Worker(cell, data, log)
        before_s = median_s(worker)
        others = [Worker(cell, data, log) for _ in range(NEIGHBOURS)]
        beside_s = median_s(worker)
        for other in others:
            other.end()
        ratios.append(beside_s / math.sqrt(before_s * median_s(worker)))
        worker.end()
    beside = f"beside {NEIGHBOURS} suspended workers / beside none, {repeats} times"
    print(f"step time {beside}: {stated(ratios)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("cost", "request", "drift", "neighbours"))
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", choices=tuple(DEVICES), default="cpu")
    options = parser.parse_args()
    cell = cell_on(options.device)
    with tempfile.TemporaryDirectory() as folder, shared_data([cell], None) as folders:
        where = cell, folders[cell], Path(folder) / "log"
        if options.what == "request":
            request(*where, options.rounds)
        else:
            programs = {"cost": cost, "drift": drift, "neighbours": neighbours}
            programs[options.what](*where, options.rounds, options.repeats)


if __name__ == "__main__":
    main()
