"""Workers get the CPUs that were asked for, and their frameworks start as many threads."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bench.cli.main import parser
from bench.cli.request import request_of
from bench.machine import cpus
from bench.parent.child import Child
from bench.records.reading import read
from bench.run.check import cells_here
from bench.worker.protocol import Build, WarmUp

StartChild = Callable[..., tuple[Child, Build]]
Run = Callable[..., subprocess.CompletedProcess[str]]


def test_what_is_started_inside_is_confined_and_nothing_afterwards() -> None:
    command = [sys.executable, "-c", "from bench.machine import cpus; print(cpus.allowed())"]
    before = cpus.allowed()
    with cpus.confined(1):
        inside = subprocess.run(command, capture_output=True, text=True, check=True)
    after = subprocess.run(command, capture_output=True, text=True, check=True)
    confined = before[:1] if hasattr(os, "sched_setaffinity") else before
    assert json.loads(inside.stdout) == confined
    assert json.loads(after.stdout) == cpus.allowed() == before


def test_without_a_choice_nothing_is_confined_nor_said() -> None:
    before = cpus.allowed()
    with cpus.confined(None):
        assert cpus.allowed() == before
    assert cpus.variables(None) == {}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux knows affinity")
def test_a_worker_is_confined_before_it_imports_anything(
    start_child: StartChild, faulty: Callable[[str, str], Path]
) -> None:
    path = faulty(
        "notes",
        """
        cpus, threads = len(os.sched_getaffinity(0)), os.environ["OMP_NUM_THREADS"]

        def settings(self):
            return {"on_import": f"{self.cpus} {self.threads}"}
        """,
    )
    child, build = start_child(path, threads=1)
    child.ask(build, 60)
    settings = child.ask(WarmUp(steps=1), 60).settings
    assert settings["on_import"] == "1 1"
    assert settings["cpus"] == "1"


def test_a_run_has_rows_for_each_number_of_threads(
    fake: Path, resnet_bench: Run, tmp_path: Path
) -> None:
    numbers = sorted({1, len(cpus.allowed())})
    finished = resnet_bench(
        *("run", "--impl", fake, "--optimizer", "sgd", "--no-certify", "--profile", "smoke"),
        *("--workload", "train", "--threads", *numbers, "--out", "run"),
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    assert sorted(row.threads or 0 for row in read(tmp_path / "run")) == numbers
    assert "train resnet14 cpu 1 thread fp32" in finished.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which CPUs share a core")
def test_cpus_that_share_a_core_come_last_and_are_no_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, siblings in enumerate(("0-1", "0-1", "2-3", "2-3")):
        topology = tmp_path / f"cpu{number}" / "topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(siblings)
    monkeypatch.setattr(cpus, "SYSTEM", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3, 7})  # 7 is unknown
    assert cpus.allowed() == [0, 2, 7, 1, 3]
    assert cpus.cores() == 3
    assert request_of(parser().parse_args(["run", "--device", "cpu"])).threads == (3,)
    cpus.check([5])


def test_the_default_is_all_cores_and_an_earlier_run_keeps_not_knowing() -> None:
    request = request_of(parser().parse_args(["run", "--device", "cpu"]))
    assert {cell.threads for cell in cells_here(request)} == {cpus.cores()}
    assert {cell.threads for cell in cells_here(replace(request, threads=None))} == {None}
