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
from bench.run.measure import measure
from bench.worker.environment import Environment, withheld
from bench.worker.protocol import Build, WarmUp
from builders import report_md, run

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
def test_what_is_passed_on_stands_in_the_row(
    make_cell: Callable[..., Cell], digits: Path, tmp_path: Path
) -> None:
    cell = make_cell(threads=1)
    [row] = measure(run(), [(cell, 0)], {cell: digits}, {}, logs=tmp_path, timeout_s=60)
    shown = row.settings["environment"]
    assert {"OMP_PROC_BIND=true", "RESNET_BENCH_WIDTH=3"} <= set(shown.split())
    assert "secret" not in shown
    assert "OMP_PROC_BIND=true" in report_md(row)


@pytest.mark.usefixtures("hostile")
def test_what_is_not_passed_on_is_told_in_a_line_each() -> None:
    lines = withheld()
    assert [line.split("=")[0] for line in lines] == ["TORCHDYNAMO_DISABLE", "NVIDIA_TF32_OVERRIDE"]
    assert lines[0].endswith("it would change what is measured: choose by --mode")


@pytest.mark.long
@pytest.mark.usefixtures("hostile")
def test_a_run_tells_it(fake: Path, resnet_bench: Run) -> None:
    finished = resnet_bench(
        *("run", "--impl", fake, "--optimizer", "sgd", "--no-certify", "--profile", "smoke"),
        *("--workload", "train", "--threads", "1", "--out", "run"),
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.count("does not reach the workers") == 2


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
