"""What Ray costs a node that measures: step time under Ray over that without, and its processors.

    PYTHONPATH=.:tests python tests/benchmarks/under_ray.py

A task of a cluster of one node starts a process that measures, as `run --engine ray` does; another
such process is started without Ray. Their blocks alternate, the order by chance: before a block
without Ray all of its processes are suspended, before one under Ray they are woken. Of the blocks
under Ray their processor time is added up: that of its daemons, of the waiting task and of the
driver, which are all on this node.
"""

import argparse
import math
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path

import psutil

from bench.analysis.statistics import estimate
from bench.data.sharing import shared_data
from bench.machine import cpus
from benchmarks.instrument import Worker, cell_on

SETTLE_S = 1.0  # for Ray to make up for what it has missed
STARTED_S = 120.0
DRIVER = """\\
import subprocess, sys, ray
ray.init(address="auto", logging_level="CRITICAL", log_to_driver=False)
ray.get(ray.remote(subprocess.run).options(num_cpus=1).remote(sys.argv[1:]))
"""


def serve(address: str) -> None:
    """Measure a block for each message, until there is none more; answers its seconds, and the
    processors that others had meanwhile.
    """
    cell = replace(cell_on("cpu"), threads=cpus.cores())  # Ray would set a number of its own
    with (
        tempfile.TemporaryDirectory() as folder,
        shared_data([cell], None) as folders,
        Listener(address) as listener,
    ):
        worker = Worker(cell, folders[cell], Path(folder) / "log")
        with listener.accept() as caller, suppress(EOFError):
            while caller.recv():
                block_s = worker.block_s()
                caller.send((block_s, worker.measurement.blocks[-1].around.other_cores))
        worker.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3, help="pairs of processes")
    parser.add_argument("--serve", metavar="ADDRESS", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    head = ["ray", "start", "--head", "--block", "--num-cpus=1", "--include-dashboard=false"]
    ratios: list[float] = []
    cores: list[dict[str, float]] = []
    counted: list[float] = []
    with ExitStack() as ending:
        cluster = subprocess.Popen([*head, "--port=6399"], stdout=subprocess.DEVNULL)
        ending.callback(cluster.wait)
        ending.callback(cluster.terminate)
        time.sleep(15)
        for _ in range(options.repeats):
            found = pair(cluster.pid, options.rounds)
            ratios.append(found[0])
            cores += found[1]
            counted += found[2]
    ratio = estimate(ratios)
    assert ratio is not None
    print(f"step time under Ray / without, {options.repeats} pairs of processes, ", end="")
    print(f"{options.rounds} rounds each: {ratio.value:.4f}", end="")
    print(f" [{ratio.low:.4f}, {ratio.high:.4f}]" if ratio.low and ratio.high else "")
    every = [sum(each.values()) for each in cores]
    print(
        f"Ray's processes in blocks: {statistics.fmean(every):.2%} of a core on average, ", end=""
    )
    print(f"{statistics.median(every):.2%} in the median block, {max(every):.2%} at most")
    for name in sorted({name for each in cores for name in each}):
        print(f"  {name}: {statistics.fmean(each.get(name, 0.0) for each in cores):.2%}")
    print(
        f"others, as a run counts them in these blocks: {statistics.fmean(counted):.2%} of a core"
    )


def pair(cluster: int, rounds: int) -> tuple[float, list[dict[str, float]], list[float]]:
    """Of a process under Ray and one without: the median ratio of their blocks; and of each block
    under Ray, the cores that each of Ray's programs had, and those that the run counts as others'.
    """
    ratios: list[float] = []
    cores: list[dict[str, float]] = []
    counted: list[float] = []
    with ExitStack() as ending:
        folder = ending.enter_context(tempfile.TemporaryDirectory())
        callers: dict[str, Connection] = {}
        programs = {}
        for way in random.sample(["under", "without"], 2):
            address = f"{folder}/{way}"
            words = [sys.executable, __file__, "--serve", address]
            words = [sys.executable, "-c", DRIVER, *words] if way == "under" else words
            programs[way] = subprocess.Popen(words)
            ending.callback(programs[way].wait)
            ending.callback(programs[way].terminate)
            callers[way] = ending.enter_context(connected(address))
        rays = processes((cluster, programs["under"].pid), apart=f"{folder}/under")
        ending.callback(lambda: send(rays, signal.SIGCONT))
        for _ in range(rounds):
            took: dict[str, float] = {}
            for way in random.sample(["under", "without"], 2):
                send(rays, signal.SIGCONT if way == "under" else signal.SIGSTOP)
                time.sleep(SETTLE_S)
                before_s, start_s = spent_s(rays), time.perf_counter()
                callers[way].send(True)
                took[way], others = callers[way].recv()
                if way == "under":
                    passed_s = time.perf_counter() - start_s
                    after_s = spent_s(rays)
                    cores.append(
                        {n: (s - before_s.get(n, s)) / passed_s for n, s in after_s.items()}
                    )
                    counted += [] if others is None else [others]
            ratios.append(math.log(took["under"] / took["without"]))
        send(rays, signal.SIGCONT)
        for caller in callers.values():
            caller.send(False)
    return math.exp(statistics.median(ratios)), cores, counted


def connected(address: str) -> Connection:
    """To the process that serves there, once it does."""
    ends_s = time.monotonic() + STARTED_S
    while True:
        try:
            return Client(address)
        except OSError:
            if time.monotonic() > ends_s:
                raise
            time.sleep(0.2)


def processes(roots: Iterable[int], apart: str) -> list[psutil.Process]:
    """Those below the roots, but for the one that serves `apart` and what it started."""
    every = [each for root in map(psutil.Process, roots) for each in (root, *root.children(True))]
    own: set[int] = set()
    for each in every:
        words = each.cmdline()
        if apart in words and "--serve" in words and __file__ in words[:3]:
            own |= {each.pid, *(child.pid for child in each.children(True))}
    return [each for each in every if each.pid not in own]


def send(to: Sequence[psutil.Process], what: signal.Signals) -> None:
    for each in to:
        with suppress(psutil.Error):
            each.send_signal(what)


def spent_s(of: Sequence[psutil.Process]) -> dict[str, float]:
    """Processor time that programs have had, to the nanosecond of Linux's scheduler."""
    total_s: dict[str, float] = {}
    for each in of:
        for file in Path(f"/proc/{each.pid}/task").glob("*/schedstat"):
            with suppress(OSError, psutil.Error):  # a thread that has ended
                name, ns = program(each), int(file.read_text().split()[0])
                total_s[name] = total_s.get(name, 0.0) + ns / 1e9
    return total_s


def program(of: psutil.Process) -> str:
    """What a process is: `raylet`, `agent.py`, `-c`."""
    words = of.cmdline()
    return Path(words[1] if "python" in words[0] and words[1:] else words[0]).name


if __name__ == "__main__":
    main()
