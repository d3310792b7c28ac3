"""What the tests share: the fake implementation, faulty files beside it, and real processes."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent, indent
from typing import NamedTuple

import psutil
import pytest

from bench.cells import Cell
from bench.data.sharing import prepare
from bench.machine import exclusive, neighbours
from bench.parent.child import Child
from bench.records.run import Neighbour
from bench.worker.environment import Environment
from bench.worker.protocol import (
    Block,
    BlockTimed,
    Build,
    Built,
    Finish,
    Finished,
    Latency,
    StepsTimed,
    WarmedUp,
    WarmUp,
)
from strangers import computing, took

# A shell that starts a command in the background has it ignore Ctrl-C, and all that it starts too
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Two processes of these tests may measure at the same time, since no test asserts a time: each, and
# what it starts, has a lock of its own, and leaves that of the machine to who needs it
LOCK = Path(tempfile.gettempdir()) / f"resnet-bench-tests-{os.getpid()}.lock"
os.environ[exclusive.VARIABLE] = str(LOCK)

FAULTY = """\
import ctypes, json, os, signal, subprocess, sys, threading, time
from pathlib import Path
import numpy as np
from fake_implementation import Implementation as Good

HERE = Path(__file__).parent

class Implementation(Good):
"""


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tests run side by side, one for each core: more threads of theirs only wait for each other.
    Workers have the threads that they are given.
    """
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@pytest.fixture
def fake(tmp_path: Path) -> Path:
    """A copy of the fake implementation, in a folder of its own."""
    folder = tmp_path / "implementations"
    folder.mkdir()
    return Path(shutil.copy(Path(__file__).with_name("fake_implementation.py"), folder))


@pytest.fixture
def faulty(fake: Path) -> Callable[[str, str], Path]:
    """Write `name`.py beside the fake: a class that overrides the fake's methods by `body`."""

    def write(name: str, body: str) -> Path:
        path = fake.with_name(f"{name}.py")
        path.write_text(FAULTY + indent(dedent(body), "    "), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits as the workers map them."""
    folder = tmp_path_factory.mktemp("data") / "digits"
    prepare(folder, name="digits", image_size=32, classes=10, data_dir=None, batch_size=64)
    return folder


@pytest.fixture
def make_cell(fake: Path) -> Callable[..., Cell]:
    """A cell of a Python file, the fake where none is given, with the fields given changed."""

    def make(path: Path = fake, **changes: object) -> Cell:
        values: dict[str, object] = {
            "implementation": str(path),
            "backend": path.stem,
            "mode": "eager",
            "model": "resnet14",
            "workload": "train",
            "device": "cpu",
            "precision": "fp32",
            "batch_size": 64,
            "optimizer": "sgd",
            "recipe": "constant",
            "weights": None,
            "dataset": "digits",
            "seed": 0,
            "steps": 10,
        }
        return Cell(**values | changes)  # type: ignore[arg-type]

    return make


@pytest.fixture
def start_child(
    make_cell: Callable[..., Cell], digits: Path, tmp_path: Path
) -> Iterator[Callable[..., tuple[Child, Build]]]:
    """Start a worker for what `make_cell` makes, and have its `build` ready; all workers are ended
    after the test.
    """
    children: list[Child] = []

    def start(path: Path, **changes: object) -> tuple[Child, Build]:
        cell = make_cell(path, **changes)
        children.append(Child(Environment.of(cell), tmp_path / "log"))
        return children[-1], Build(cell=cell, data_folder=str(digits))

    yield start
    for child in children:
        child.end()


class Answers(NamedTuple):
    """All answers of a worker."""

    built: Built
    warmed_up: WarmedUp
    block: BlockTimed
    finished: Finished
    latency: StepsTimed


@pytest.fixture
def ask_all() -> Callable[..., Answers]:
    """Ask a worker all there is; no request but the build, slow by nature, has over `timeout_s`."""

    def ask(started: tuple[Child, Build], timeout_s: float = 60) -> Answers:
        child, build = started
        return Answers(
            child.ask(build, 60),
            child.ask(WarmUp(steps=2), timeout_s),
            child.ask(Block(steps=build.cell.steps - 3), timeout_s),
            child.ask(Finish(), timeout_s),
            child.ask(Latency(steps=2), timeout_s),
        )

    return ask


@pytest.fixture
def resnet_bench(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `resnet-bench` with arguments, in the test's folder, to its end."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "bench", *map(str, arguments)],
            cwd=tmp_path,
            env=os.environ | {"COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], bool]:
    """Whether a condition comes true within some seconds."""

    def poll(condition: Callable[[], bool], within_s: float = 30) -> bool:
        deadline = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    return poll


@pytest.fixture
def stranger() -> Iterator[psutil.Process]:
    """A process of another program, which computes."""
    with computing() as process:
        yield process


@pytest.fixture
def seen_stranger(
    stranger: psutil.Process,
    eventually: Callable[[Callable[[], bool]], bool],
    monkeypatch: pytest.MonkeyPatch,
) -> psutil.Process:
    """The same, which each look at the machine sees, however busy that is."""

    class Patient(neighbours.Look):
        def end(self) -> tuple[Neighbour, ...]:
            assert eventually(took(stranger, 0.05))
            return super().end()

    monkeypatch.setattr(neighbours, "Look", Patient)
    monkeypatch.setattr(neighbours, "LEAST_CORES", 1e-4)
    monkeypatch.setattr(neighbours, "NAMED", 10_000)
    return stranger


@pytest.fixture
def survivors() -> Callable[[list[psutil.Process]], list[psutil.Process]]:
    """Which of some processes still live when they had some seconds to vanish."""

    def wait(processes: list[psutil.Process]) -> list[psutil.Process]:
        return psutil.wait_procs(processes, timeout=10)[1]

    return wait
