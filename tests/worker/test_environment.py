"""What of a user's environment reaches a worker, and what a row says of it."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.calibrate import certify
from bench.cells import Cell
from bench.parent.child import Child
from bench.records.reading import read
from bench.worker.environment import Environment, withheld
from bench.worker.protocol import Build, WarmUp

StartChild = Callable[..., tuple[Child, Build]]
MakeFaulty = Callable[[str, str], Path]
Run = Callable[..., subprocess.CompletedProcess[str]]

TELLS = "def settings(self): return {'seen': json.dumps(dict(os.environ))}"


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A user's environment with some of everything."""
    for name, value in {
        "TORCHDYNAMO_DISABLE": "1",
        "NVIDIA_TF32_OVERRIDE": "1",
        "OMP_PROC_BIND": "true",
        "OMP_NUM_THREADS": "7",
        "KERAS_HOME": str(tmp_path),
        "TF_VAR_password": "secret",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "MY_UNKNOWN": "1",
        "RESNET_BENCH_WIDTH": "3",
        "LC_ALL": "C.UTF-8",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("hostile")
def test_a_worker_inherits_what_is_plain_or_tunes_and_nothing_else(
    start_child: StartChild, faulty: MakeFaulty
) -> None:
    child, build = start_child(faulty("tells", TELLS), threads=1)
    child.ask(build, 60)
    seen = json.loads(child.ask(WarmUp(steps=0), 60).settings["seen"])
    kept = {"LC_ALL": "C.UTF-8", "OMP_PROC_BIND": "true", "RESNET_BENCH_WIDTH": "3"}
    assert seen.items() >= kept.items()
    assert seen["PATH"] == os.environ["PATH"]
    assert seen["NVIDIA_TF32_OVERRIDE"] == "0"  # ours
    assert seen["OMP_NUM_THREADS"] == "1"
    assert seen["KERAS_HOME"].startswith(str(child.temporary.path))
    absent = {"TORCHDYNAMO_DISABLE", "TF_VAR_password", "AWS_SECRET_ACCESS_KEY", "MY_UNKNOWN"}
    assert not absent & seen.keys()


@pytest.mark.usefixtures("hostile")
def test_what_is_passed_on_stands_in_the_row_and_what_is_not_in_one_line(
    fake: Path, resnet_bench: Run, tmp_path: Path
) -> None:
    finished = resnet_bench(
        *("run", "--impl", fake, "--optimizer", "sgd", "--no-certify", "--profile", "smoke"),
        *("--workload", "train", "--threads", "1", "--out", "run"),
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    said = [line for line in finished.stdout.splitlines() if "does not reach" in line]
    assert [line.split("=")[0] for line in said] == ["TORCHDYNAMO_DISABLE", "NVIDIA_TF32_OVERRIDE"]
    assert said[0].endswith("choose by --mode")
    [row] = read(tmp_path / "run")
    assert row.settings["environment"] == "OMP_PROC_BIND=true RESNET_BENCH_WIDTH=3"
    assert "OMP_PROC_BIND=true" in (tmp_path / "run" / "report.md").read_text()


def test_a_certificate_holds_in_the_environment_that_it_was_made_in(
    make_cell: Callable[..., Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    part = make_cell(implementation="flax_nnx", backend="jax", mode="compiled").executable
    key = certify._key(part, {})
    for name, again in (("XLA_FLAGS", True), ("MKL_CBWR", True), ("LD_PRELOAD", True)):
        with monkeypatch.context() as changed:
            changed.setenv(name, "--of-a-user")
            assert (certify._key(part, {}) != key) is again
    for name in ("JAX_DISABLE_JIT", "MY_UNKNOWN", "LC_ALL", "SSL_CERT_FILE"):
        with monkeypatch.context() as changed:
            changed.setenv(name, "1")
            assert certify._key(part, {}) == key


def test_flags_in_a_file_are_passed_on_themselves(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "flags"
    file.write_text("--xla_a=1\n--xla_b=2\n")
    monkeypatch.setenv("XLA_FLAGS", str(file))
    assert Environment("cpu", "fp32").users()["XLA_FLAGS"] == "--xla_a=1 --xla_b=2"
    monkeypatch.setenv("XLA_FLAGS", str(tmp_path / "absent"))
    assert Environment("cpu", "fp32").users()["XLA_FLAGS"] == str(tmp_path / "absent")


def test_what_is_not_set_is_not_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAX_DISABLE_JIT", "")
    assert not [line for line in withheld() if line.startswith("JAX_DISABLE_JIT")]
