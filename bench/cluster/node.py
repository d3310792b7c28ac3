"""What a node of a cluster does for whoever drives a run: say what it is, and measure a shard.

A shard is measured by `resnet-bench run` in a process of its own, so that what the engine does in
this one is, to the measurement, the work of a neighbour as any other. It ends with this process.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench import processes
from bench.machine import cpus, packages
from bench.machine.facts import this_machine
from bench.run.here import code_version
from bench.temporary import TemporaryFolder

PROGRAM = str(Path(processes.ROOT) / "bench" / "__main__.py")


@dataclass(frozen=True)
class Facts:
    """What must be alike on nodes that share a run, or be named apart."""

    host: str
    code: str  # version and commit of resnet-bench
    python: str
    packages: dict[str, str]
    cores: int  # what `--threads` is by itself
    chips: str  # processor and GPUs


@dataclass(frozen=True)
class Shard:
    """A shard to measure."""

    suite: str  # the run as TOML
    name: str  # 2/3
    machine_name: str | None
    start: str  # the folder that the run was begun in


@dataclass(frozen=True)
class Measured:
    """What became of a shard."""

    code: int  # that `resnet-bench run` ended with
    said: str  # its last words on stderr
    files: dict[str, bytes]  # of its folder, by their paths there


def facts() -> Facts:
    """What this node is."""
    machine = this_machine()
    return Facts(
        host=machine.machine,
        code=code(),
        python=machine.python or "",
        packages=packages.installed(),
        cores=cpus.cores(),
        chips=f"{machine.cpu}, {machine.logical_cores} CPUs, GPU {machine.gpu_names}",
    )


def code() -> str:
    """What this node runs, which all must have alike."""
    return code_version()


def measure(shard: Shard) -> Measured:
    """Measure a shard into a temporary folder, and return what is in it then."""
    with TemporaryFolder() as folder:
        suite, out = folder.path / "suite.toml", folder.path / "out"
        suite.write_text(shard.suite, encoding="utf-8")
        words = ["run", "--config", str(suite), "--shard", shard.name, "--out", str(out)]
        if shard.machine_name:
            words += ["--machine-name", shard.machine_name]
        done = subprocess.run(
            [sys.executable, PROGRAM, *words],
            cwd=shard.start if os.path.isdir(shard.start) else folder.path,
            env=processes.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        files = {
            str(path.relative_to(out)): path.read_bytes()
            for path in sorted(out.rglob("*"))
            if path.is_file() and path.name != ".lock"
        }
        last = [line for line in done.stderr.splitlines() if line.strip()][-1:]
        return Measured(done.returncode, " ".join(last), files)
