"""A process of another program that uses this machine, and a look at the machine that sees it."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

# Computes for about a third of the time
SPIN = "import time\nwhile True:\n    sum(range(100_000))\n    time.sleep(0.005)"


@contextmanager
def computing() -> Iterator[psutil.Process]:
    """A process that computes, and that nothing of ours has started: its parent is gone."""
    start = "import subprocess, sys; w = [sys.executable, '-c', sys.argv[1]]"
    start += "; print(subprocess.Popen(w, stdout=subprocess.DEVNULL).pid)"
    words = [sys.executable, "-c", start, SPIN]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    process = psutil.Process(int(done.stdout))
    try:
        yield process
    finally:
        process.kill()


def took(process: psutil.Process, seconds: float) -> Callable[[], bool]:
    """Whether a process has taken so much processor time since now."""
    until_s = sum(process.cpu_times()[:2]) + seconds
    return lambda: sum(process.cpu_times()[:2]) >= until_s
