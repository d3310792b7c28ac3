"""Several workers with one request each, as many at once as processors and memory allow.

For what is not timed, such as certificates: the workers get in each other's way. This process
sleeps until one of them has answered.
"""

import select
import time
from collections import deque
from collections.abc import Generator, Hashable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import TypeVar

import psutil

from bench import signals
from bench.machine import cpus, memory
from bench.parent.child import LIFE_SIGN_S, Child, Failure
from bench.temporary import TemporaryFolder
from bench.worker.environment import Environment
from bench.worker.protocol import A, WorkerRequest

WORKER_MIB = 2048.0  # what a framework may take: with less available, none is started beside others

Key = TypeVar("Key", bound=Hashable)


def answers(
    asked: Mapping[Key, tuple[Environment, WorkerRequest[A]]], timeout_s: float
) -> Generator[tuple[Key, A | Failure], None, None]:
    """Each answer under the key of its request, as it comes; a Failure where a worker failed, or
    gave no answer in `timeout_s` seconds.

    Closing the iterator, or an exception in it, ends all workers.
    """
    waiting = deque(asked)
    with ExitStack() as ending:
        folder = ending.enter_context(TemporaryFolder()).path
        running: dict[Child, tuple[Key, float]] = {}  # and when it has to have answered
        while waiting or running:
            while waiting and _one_more(running):
                key = waiting.popleft()
                environment, request = asked[key]
                beside = replace(environment, beside_others=True)
                with signals.held():
                    child = Child(beside, folder / f"{len(waiting)}.log")
                    ending.callback(child.end)
                child.begin(request)
                running[child] = key, time.monotonic() + timeout_s
            for child in _done(running):
                key, ends_s = running.pop(child)
                request = asked[key][1]
                try:
                    answer: A | Failure = child.answer(request, ends_s - time.monotonic())
                except Failure as failure:
                    answer = failure
                    if failure.status == "timeout":
                        reason = f"its {request.name} did not end within {timeout_s:g} s"
                        answer = Failure("timeout", reason)
                child.end()
                yield key, answer


def _one_more(running: Iterable[Child]) -> bool:
    """Whether a worker more fits beside those that run, which may not have grown yet."""
    sizes_mib = [_resident_mib(child) for child in running]
    growth_mib = sum(max(0.0, WORKER_MIB - size) for size in sizes_mib)
    fits = memory.available().mib - growth_mib >= WORKER_MIB
    return not sizes_mib or (len(sizes_mib) < len(cpus.allowed()) and fits)


def _resident_mib(child: Child) -> float:
    try:
        return float(psutil.Process(child.process.pid).memory_info().rss / 2**20)
    except psutil.NoSuchProcess:
        return 0.0


def _done(running: Mapping[Child, tuple[Key, float]]) -> list[Child]:
    """Those that have answered, have died, or are out of time; sleeps until there are some."""
    while True:
        left_s = min(ends_s for _, ends_s in running.values()) - time.monotonic()
        ready, _, _ = select.select(running, [], [], max(0.0, min(left_s, LIFE_SIGN_S)))
        now_s = time.monotonic()
        done = [
            child
            for child, (_, ends_s) in running.items()
            if child in ready or ends_s <= now_s or child.process.poll() is not None
        ]
        if done:
            return done
