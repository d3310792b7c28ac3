"""How this program starts processes of its own.

None of them searches the working directory for modules: a `bench.py`, `random.py` or `keras.py`
that lies where the user stands is the user's, and no part of this program.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from bench import guardian, signals

ROOT = str(Path(__file__).resolve().parents[1])  # where this `bench` and its `resnet_impls` lie

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


def environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment, with `variables` added, for one that ends with it."""
    return {**os.environ, **(variables or {}), **guardian.marked()}


def run(module: str, *arguments: str, variables: Mapping[str, str] | None = None) -> int:
    """Run a module in a subprocess, so that this process stays small; returns its exit code.

    `variables` are added to its environment. An interrupt, which is for this process to answer,
    ends the other.
    """
    with ExitStack() as ending:
        with signals.held():  # else an interrupt now would leave it behind
            process = subprocess.Popen(
                command(module, *arguments), env=environment(variables), process_group=0
            )
            ending.callback(process.wait)
            ending.callback(process.kill)
        return process.wait()
