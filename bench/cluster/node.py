"""What a node of a cluster does for whoever drives a run: say what it is, and measure a shard.

A shard is measured by `resnet-bench run` in a process of its own, so that what the engine does in
this one is, to the measurement, the work of a neighbour as any other. It ends with this process.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import processes
from bench.machine import cpus, packages
from bench.machine.facts import this_machine
from bench.run.here import code_version
from bench.temporary import TemporaryFolder

OFTEN_S = 5.0  # between two counts at least
PROGRAM = str(Path(processes.ROOT) / "bench" / "__main__.py")


@dataclass(frozen=True)
class Facts:
    """What must be alike on nodes that share a run, or be named apart."""

    host: str
    versions: dict[str, str]  # of resnet-bench, Python and all packages
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
        versions={
            **packages.installed(),
            "resnet-bench": code_version(),  # which says more than what is installed
            "Python": machine.python or "unknown",
        },
        cores=cpus.cores(),
        chips=f"{machine.cpu}, {machine.logical_cores} CPUs, GPU {machine.gpu_names}",
    )


def measure(shard: Shard) -> Iterator[int | Measured]:
    """Measure a shard into a temporary folder; yields how many records there are by now, and at the
    end what is in the folder.

    It looks when the run writes a line, which it does after a record, when no worker measures.
    """
    with TemporaryFolder() as folder, ExitStack() as ending:
        suite, out = folder.path / "suite.toml", folder.path / "out"
        suite.write_text(shard.suite, encoding="utf-8")
        words = ["run", "--config", str(suite), "--shard", shard.name, "--out", str(out)]
        if shard.machine_name:
            words += ["--machine-name", shard.machine_name]
        errors = ending.enter_context((folder.path / "errors").open("w+", errors="replace"))
        process = subprocess.Popen(
            [sys.executable, PROGRAM, *words],
            cwd=shard.start if os.path.isdir(shard.start) else folder.path,
            env=processes.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        ending.enter_context(process)  # which closes its output, and waits
        ending.callback(process.kill)
        yield from _counts(process, out / "records.jsonl")
        code = process.wait()
        files = {
            str(path.relative_to(out)): path.read_bytes()
            for path in sorted(out.rglob("*"))
            if path.is_file() and path.name != ".lock"
        }
        errors.seek(0)
        last = [line for line in errors if line.strip()][-1:]
        yield Measured(code, " ".join(last).strip(), files)


def _counts(process: "subprocess.Popen[bytes]", records: Path) -> Iterator[int]:
    """How many records there are, each time there are more, until the run closes its output."""
    assert process.stdout
    at = count = 0
    told_s = -OFTEN_S
    for _ in process.stdout:
        if not records.exists() or records.stat().st_size == at:
            continue
        with records.open("rb") as file:
            file.seek(at)
            added = file.read()
        at, count = at + len(added), count + added.count(b"\n")
        if time.monotonic() - told_s >= OFTEN_S:
            told_s = time.monotonic()
            yield count
