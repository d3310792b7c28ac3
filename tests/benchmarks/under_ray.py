"""What Ray costs a node that measures: step time under Ray over that without, and its processors.

    PYTHONPATH=.:tests python tests/benchmarks/under_ray.py            # as `ray start` has it
    PYTHONPATH=.:tests python tests/benchmarks/under_ray.py --sparing  # as docs/cluster.md advises

A task on a node of a cluster starts a process that measures, as `run --engine ray` does. Its blocks
come in pairs, the order by chance: before one, all processes of Ray are suspended, before the other
they are woken. So the two differ in Ray alone, and not in the luck of a process. Of the blocks
under Ray their processor time is added up: that of the node and its waiting task, and that of the
cluster's head and of the driver, which are on this machine as well.
"""

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path

import psutil

from bench import guardian
from bench.analysis.statistics import estimate
from bench.data.sharing import shared_data
from bench.machine import cpus
from bench.temporary import TemporaryFolder
from benchmarks.instrument import Worker, cell_on

SETTLE_S = 0.5  # for Ray to make up for what it has missed
STARTED_S = 10.0  # that a node takes to start
ANSWER_S = 120.0
PORT = 6399
HEAD = ["--head", f"--port={PORT}", "--num-cpus=0", "--include-dashboard=false"]
NODE = [f"--address=127.0.0.1:{PORT}", "--num-cpus=1"]
SPARING = ["--include-log-monitor=false"]  # each node
SPARING_VARIABLES = {
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_raylet_report_resources_period_milliseconds": "1000",
}
DRIVER = f"""\\
import subprocess, sys, ray
ray.init(address="127.0.0.1:{PORT}", logging_level="CRITICAL", log_to_driver=False)
ray.get(ray.remote(subprocess.run).options(num_cpus=1).remote(sys.argv[1:]))
"""
Cores = dict[str, float]  # program -> processors


def serve(address: str) -> None:
    """Measure a block for each message, until one says that it was the last; answers seconds."""
    cell = replace(cell_on("cpu"), threads=cpus.cores())  # Ray would set a number of its own
    with (
        TemporaryFolder() as folder,
        shared_data([cell], None) as folders,
        Listener(address) as listener,
    ):
        worker = Worker(cell, folders[cell], folder.path / "log")
        with listener.accept() as caller, suppress(EOFError):
            while caller.recv():
                caller.send(worker.block_s())
        worker.end()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=4, help="processes that measure")
    parser.add_argument("--sparing", action="store_true", help="nodes whose daemons do less")
    parser.add_argument("--serve", metavar="ADDRESS", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    ratios: list[float] = []
    blocks: list[tuple[Cores, Cores]] = []
    more, variables = (SPARING, SPARING_VARIABLES) if options.sparing else ([], {})
    with ExitStack() as ending:
        starting = ["ray", "start", "--block", *more]
        head = started(ending, [*starting, *HEAD], variables).pid
        time.sleep(STARTED_S)
        node = started(ending, [*starting, *NODE], variables).pid
        time.sleep(STARTED_S)
        for _ in range(options.repeats):
            ratio, found = measured(head, node, options.rounds)
            ratios.append(ratio)
            blocks += found
            print(f"a process of {options.rounds} pairs of blocks: {ratio:.4f}", flush=True)
    overall = estimate(ratios)
    assert overall is not None
    print(f"step time under Ray / without: {overall.value:.4f}", end="")
    print(f" [{overall.low:.4f}, {overall.high:.4f}]" if overall.low and overall.high else "")
    for place, which in (("the node and its task", 0), ("the head and the driver", 1)):
        every = [sum(block[which].values()) for block in blocks]
        print(f"{place}: {statistics.fmean(every):.2%} of a core in blocks on average, ", end="")
        print(f"{statistics.median(every):.2%} in the median one")
        for name in sorted({name for block in blocks for name in block[which]}):
            print(f"  {name}: {statistics.fmean(b[which].get(name, 0.0) for b in blocks):.2%}")


def started(
    ending: ExitStack, words: Sequence[str], variables: Mapping[str, str]
) -> "subprocess.Popen[bytes]":
    """Start a program, to be ended with all that it starts, suspended or not.

    The guardian of this process ends them where this one is killed itself.
    """
    mark = guardian.marked()
    process = subprocess.Popen(
        words, env={**os.environ, **variables, **mark}, stdout=subprocess.DEVNULL
    )
    ending.callback(process.wait)
    ending.callback(guardian.end_marked, *mark.values())
    return process


def measured(head: int, node: int, rounds: int) -> tuple[float, list[tuple[Cores, Cores]]]:
    """Of one process: the median ratio of its blocks under Ray to those without; and of each block
    under Ray the cores of the programs of the node, and of the head and the driver.
    """
    ratios, cores = [], []
    with ExitStack() as ending:
        address = str(ending.enter_context(TemporaryFolder()).path / "served")
        words = [sys.executable, "-c", DRIVER, sys.executable, __file__, "--serve", address]
        driver = started(ending, words, {})
        caller = ending.enter_context(connected(address))
        here = processes((node,), apart=address)
        there = processes((head, driver.pid), apart=address)
        for _ in range(rounds):
            took_s: dict[str, float] = {}
            for way in random.sample(["under", "without"], 2):
                send([*here, *there], signal.SIGCONT if way == "under" else signal.SIGSTOP)
                time.sleep(SETTLE_S)
                before, start_s = (spent_s(here), spent_s(there)), time.perf_counter()
                caller.send(True)
                took_s[way] = caller.recv()
                if way == "under":
                    passed_s = time.perf_counter() - start_s
                    after = spent_s(here), spent_s(there)
                    since = [_since(*pair, passed_s) for pair in zip(before, after, strict=True)]
                    cores.append((since[0], since[1]))
            ratios.append(took_s["under"] / took_s["without"])
        send([*here, *there], signal.SIGCONT)
        caller.send(False)
        driver.wait()
    return statistics.median(ratios), cores


def _since(before: Cores, after: Cores, passed_s: float) -> Cores:
    return {name: (after[name] - before.get(name, 0.0)) / passed_s for name in after}


def connected(address: str) -> Connection:
    """To the process that serves there, once it does."""
    ends_s = time.monotonic() + ANSWER_S
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


def spent_s(of: Sequence[psutil.Process]) -> Cores:
    """Seconds of processor time that programs have had, to the nanosecond of Linux's scheduler."""
    total_s: Cores = {}
    for each in of:
        for file in Path(f"/proc/{each.pid}/task").glob("*/schedstat"):
            with suppress(OSError, psutil.Error):  # a thread that has ended
                name, ns = program(each), int(file.read_text().split()[0])
                total_s[name] = total_s.get(name, 0.0) + ns / 1e9
    return total_s


def program(of: psutil.Process) -> str:
    """What a process is: `raylet`, `agent.py`, `ray::run`."""
    words = of.cmdline()
    scripts = [Path(word).name for word in words if word.endswith(".py")]
    return scripts[0] if scripts else Path(words[0].split()[0]).name


if __name__ == "__main__":
    main()
