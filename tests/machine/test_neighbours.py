"""Who else uses the machine: named by what it took, and never one of our own."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from bench.machine import cpus, devices, neighbours
from bench.machine.chip import Chip
from bench.machine.neighbours import Look
from bench.records.folder import RunFolder
from bench.records.run import Neighbour
from bench.run import going_on
from builders import report_md, section, timed
from builders import run as described
from strangers import SPIN, took

Eventually = Callable[[Callable[[], bool]], bool]


@pytest.fixture
def offspring() -> Iterator[psutil.Process]:
    """A process that computes, and that we have started."""
    with subprocess.Popen([sys.executable, "-c", SPIN]) as started:
        yield psutil.Process(started.pid)
        started.send_signal(signal.SIGKILL)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy this machine is, who computes at all is seen."""
    monkeypatch.setattr(neighbours, "LEAST_CORES", 1e-4)


def test_who_computes_is_named_with_its_share(
    stranger: psutil.Process, offspring: psutil.Process, patient: None, eventually: Eventually
) -> None:
    look = Look(["cpu"])
    assert eventually(took(stranger, 0.05))
    assert eventually(took(offspring, 0.05))
    found = {each.pid: each for each in look.end()}
    assert {offspring.pid, os.getpid()}.isdisjoint(found)
    seen = found[stranger.pid]
    assert seen.name.startswith("python")
    assert seen.cores is not None
    assert 0 < seen.cores < 1.5
    assert not seen.on_device
    assert seen.utc is not None


def test_who_runs_on_other_processors_alone_is_not(
    stranger: psutil.Process,
    patient: None,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cpus, "allowed", lambda: [100_000])
    look = Look(["cpu"])
    assert eventually(took(stranger, 0.05))
    assert stranger.pid not in {each.pid for each in look.end()}


class Shared(Chip):
    """A chip with processes on it, as a driver tells of them."""

    listed: dict[int, float | None]

    def processes_mib(self) -> dict[int, float | None]:
        return self.listed


def test_who_holds_the_gpu_all_the_time_is_named_and_our_workers_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chip, gone = Shared(), 2**22 + 1
    monkeypatch.setattr(devices, "chip", lambda kind: chip if kind == "cuda" else None)
    chip.listed = {os.getppid(): 310.0, gone: None, 77: 1.0}
    look = Look(["cpu", "cuda"])
    chip.listed = {os.getppid(): 320.0, gone: None, os.getpid(): 5.0}
    found = {each.pid: each for each in look.end() if each.on_device}
    assert found.keys() == {os.getppid(), gone}
    assert found[os.getppid()].device_mib == 320.0
    assert found[gone].described == f"unknown (pid {gone}, on the GPU)"


def test_they_are_told_before_measuring_and_kept_beside_those_of_earlier_parts(
    stranger: psutil.Process,
    patient: None,
    eventually: Eventually,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(neighbours, "NAMED", 10_000)
    earlier = Neighbour(name="earlier", pid=7, cores=0.5)
    folder = RunFolder.create(tmp_path / "run", described(neighbours=[earlier]))
    look, told = Look(["cpu"]), list[str]()
    assert eventually(took(stranger, 0.05))
    going_on._name_neighbours(folder, look, told.append)
    (line,) = told
    assert line.startswith("others use this machine, which may make results worse: ")
    assert f"(pid {stranger.pid}, " in line
    kept = RunFolder.open(folder.path).run.neighbours
    assert kept is not None
    assert kept[0] == earlier
    assert stranger.pid in {each.pid for each in kept}


def test_a_report_names_who_takes_most_first_and_those_of_old_runs_not_at_all() -> None:
    seen = [Neighbour(name=f"<b>{n}", pid=n, cores=0.5) for n in range(1, 23)]
    text = section(report_md(timed([1.0] * 10), neighbours=seen), "Around the blocks")
    assert r"\<b\>20 (pid 20, 0.50 of a core) and 2 more processes." in text
    assert "pid 21" not in text
    assert "Others used" not in report_md(timed([1.0] * 10))
