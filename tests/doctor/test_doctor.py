"""`resnet-bench doctor` from end to end, with fewer faults, and what becomes of a noise floor."""

import json
import math
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from bench.analysis.statistics import noise_floor
from bench.calibrate import noise
from bench.cli.main import main
from bench.doctor import examination
from bench.doctor.examination import EARLY, FAULTS, Fault
from bench.machine.facts import gpus, this_machine
from bench.records.reading import read
from bench.records.run import Neighbour

MakeFaulty = Callable[[str, str], Path]
Run = Callable[..., subprocess.CompletedProcess[str]]

COMPILERS = ("torch", "TensorFlow")  # slow to import, and tested with the audit


def test_planted_faults_are_caught(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = tuple(fault for fault in FAULTS if not fault.test.endswith(COMPILERS))
    monkeypatch.setattr(examination, "FAULTS", few)
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert "0 failed" in shown
    for fault in few:
        assert fault.test in shown
    assert "float64 passed; as timed failed" in " ".join(shown.split())
    # the GPU's four, and the known delay where the machine is too busy
    assert gpus() or ", 4 not run in" in shown or ", 5 not run in" in shown


def test_a_fault_that_escapes_is_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], faulty: MakeFaulty
) -> None:
    absent = faulty("absent", "import no_such_framework")
    two = (
        Fault("escapes", "nothing at all", "honest.py", EARLY),
        Fault("absent", "nothing either", str(absent), EARLY),
    )
    monkeypatch.setattr(examination, "FAULTS", two)
    monkeypatch.setattr(examination, "ROUNDED", ())
    assert main(["doctor"]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "failed escapes nothing at all ok" in shown
    assert "not run absent nothing either needs a framework: No module named" in shown
    assert "0 passed, 1 failed, 1 not run" in shown


def test_every_planted_file_is_used() -> None:
    used = {fault.file for fault in FAULTS} | {file for _, file, _ in examination.ROUNDED}
    assert {path.name for path in examination.PLANTED.glob("[!_]*.py")} == used


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where noise floors are kept, and how few pairs are measured for one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(noise, "PAIRS", 2)
    return tmp_path / "resnet-bench"


@pytest.fixture
def any_rule(faulty: MakeFaulty) -> Path:
    return faulty(
        "any_rule",
        """
        def __init__(self, *arguments, optimizer, **options):
            super().__init__(*arguments, optimizer="sgd", **options)
        """,
    )


@pytest.mark.long
def test_a_noise_floor_is_measured_kept_and_taken_over_by_runs(
    cache: Path, any_rule: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--aa", "--impl", str(any_rule), "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    [file] = (cache / "noise").iterdir()
    kept = json.loads(file.read_text().partition("\n")[2])["cpu"]
    assert len(kept["log_ratios"]) == 2
    assert f"{noise_floor(kept['log_ratios'], 3):.2%} with 3 processes per cell" in shown
    assert str(file) in shown

    out = tmp_path / "run"
    options = ["--workload", "train", "--steps", "10", "--replicates", "2", "--device", "cpu"]
    assert main(["run", "--impl", str(any_rule), "--no-certify", *options, "--out", str(out)]) == 0
    floor = json.loads((out / "run.json").read_text())["noise_floor"]["cpu"]
    assert floor["value"] == noise_floor(kept["log_ratios"], 2) > 0
    assert floor["contender"] == "any_rule eager"
    assert f"cpu: {floor['value']:.2%}" in (out / "report.md").read_text()
    assert [row.status for row in read(out)] == ["ok", "ok"]


def test_what_was_never_measured_has_no_floor(cache: Path) -> None:
    assert noise.known(["cpu"], 3, this_machine()) == {}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"cpu": {}}', '{"cpu": {"log_ratios": []}}'])
def test_a_file_that_cannot_be_read_is_no_floor_and_is_written_anew(
    text: str, cache: Path, any_rule: Path
) -> None:
    cell = noise.cell(str(any_rule), "cpu")
    other = Neighbour(name="other", pid=7, cores=0.5)
    file = noise.remember(cell, [0.01], [other])
    found = noise.known(["cpu", "cuda"], 1, this_machine())
    assert found.keys() == {"cpu"}
    assert found["cpu"].neighbours == (other,)
    file.write_text(text)
    assert noise.known(["cpu"], 3, this_machine()) == {}
    assert noise.remember(cell, [0.02], []) == file
    assert noise.known(["cpu"], 3, this_machine())["cpu"].log_ratios == (0.02,)


@pytest.mark.parametrize("replicates", [1, 3, 7])
def test_equal_cells_stay_below_the_floor_95_times_in_100(replicates: int) -> None:
    stream = np.random.default_rng(0)
    below = []
    for _ in range(4000):
        pairs, others = stream.normal(0, 0.02, 5), stream.normal(0, 0.02, replicates)
        floor = noise_floor(list(pairs), replicates)
        below.append(abs(others.mean()) < math.log1p(floor))
    assert 0.94 < np.mean(below) < 0.96


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--impl", "torch_module"], "--impl: says what --aa compares with itself; add --aa"),
        (["--aa", "--impl", "keras_subclass"], "choose from keras_subclass[tensorflow], "),
        (["--aa", "--impl", "torchvision_model"], "torchvision_model on torch has no model"),
        (["--aa", "--impl", "nothing"], "unknown implementation 'nothing'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", *arguments]) == 2
    streams = capsys.readouterr()
    assert said in streams.err
    assert len(streams.err.splitlines()) == 1
    assert streams.out == ""


def test_a_pair_that_fails_is_told_and_before_it_who_else_uses_the_machine(
    cache: Path,
    faulty: MakeFaulty,
    seen_stranger: psutil.Process,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = faulty("broken", "def place(self, images, labels): raise RuntimeError('no kernel')")
    assert main(["doctor", "--aa", "--impl", str(path), "--device", "cpu"]) == 1
    shown = capsys.readouterr().out
    assert "others use this machine, which may make results worse: " in shown
    assert f"(pid {seen_stranger.pid}, " in shown
    assert "unsupported: no adam in fp32 on cpu here" in shown
    assert not cache.exists()
