"""How this program starts processes of its own.

None of them searches the working directory for modules: a `bench.py`, `random.py` or `keras.py`
that lies where the user stands is the user's, and no part of this program.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = str(Path(__file__).resolve().parents[1])  # where this `bench` and its `resnet_impls` lie
ENDING = (signal.SIGTERM, signal.SIGHUP)  # what ends a run just as Ctrl-C does

# What `-m` does, but for the working directory; a bare checkout is on nobody's path
_START = """\
import runpy, sys
root, module = sys.argv[1:3]
del sys.argv[1:3]
if root not in sys.path:
    sys.path.insert(0, root)
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def command(module: str, *arguments: str) -> list[str]:
    """The words that start a module of this package as a process; `-P` keeps its path safe."""
    return [sys.executable, "-P", "-c", _START, ROOT, module, *arguments]


def run(module: str, *arguments: str, variables: Mapping[str, str] | None = None) -> int:
    """Run a module in a subprocess, so that this process stays small; returns its exit code.

    `variables` are added to its environment.

    To be called in the main thread. Ctrl-C is for this process to answer, and ends the other. It is
    held back until that exists: an interrupt while a process is started would leave it behind, to
    fail at files that are gone.
    """
    usual = signal.default_int_handler
    numbers = [n for n in (signal.SIGINT, *ENDING) if signal.getsignal(n) is usual]
    held: list[int] = []
    try:
        # by handlers and no mask, since libraries have threads that the signal may reach as well
        for number in numbers:
            signal.signal(number, lambda got, _: held.append(got))
        environment = {**os.environ, **(variables or {})}
        words = command(module, *arguments)
        with subprocess.Popen(words, env=environment, process_group=0) as process:
            try:
                for number in numbers:
                    signal.signal(number, usual)
                if held:
                    raise KeyboardInterrupt
                return process.wait()
            except BaseException:
                process.kill()
                raise
    finally:
        for number in numbers:
            signal.signal(number, usual)
