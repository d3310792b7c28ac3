"""`check`, `archive` and "Repeat it": what a run says of itself to those who did not make it."""

import hashlib
import json
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.analysis.fitness import findings
from bench.cli.main import main
from bench.machine.packages import changes, installed
from bench.records import Record, Run
from bench.records.folder import RunFolder
from builders import SPEEDS, processes, record, report_md, run, section

PASSED = {"certificate_float64": "passed", "certificate_timed": "passed", "busy": False}
PACKAGES = {"numpy": "2.1.0", "torch": "2.9.1+cpu"}
FIT: dict[str, Any] = {
    "commit": "8eec895f1c2a",
    "resnet_bench": "0.1.0",
    "packages": PACKAGES,
    "noise_floor": {"cpu": {"value": 0.02}},
}


def keep(path: Path, records: list[Record], **changes: Any) -> RunFolder:
    folder = RunFolder.create(path, run(**FIT | changes))
    for each in records:
        folder.append(each)
    return folder


def against(records: list[Record], of: Run) -> list[str]:
    return [each.name for each in findings(of, records) if not each.fit]


def test_a_run_with_all_that_a_reviewer_asks_for_is_fit() -> None:
    assert against(processes(SPEEDS, **PASSED), run(**FIT)) == []
    engine = PASSED | {"certificate_float64": "passed in fp32, no float64 there"}
    absent = record(status="unavailable", reason="not installed", implementation="flax_nnx")
    assert against([*processes(SPEEDS, **engine), absent], run(**FIT)) == []


@pytest.mark.parametrize(
    ("name", "rows", "changes"),
    [
        ("code", {}, {"commit": None}),
        ("code", {}, {"commit": "8eec895f1c2a-dirty"}),
        ("packages", {}, {"packages": {}}),
        ("certified", {"certificate_timed": None}, {}),
        ("certified", {"certificate_float64": "failed: loss 1 (limit 0.1)"}, {}),
        ("noise floor", {}, {"noise_floor": {"cuda": {"value": 0.02}}}),
        ("quiet", {"busy": True}, {}),
    ],
)
def test_each_want_is_found_and_nothing_else(
    name: str, rows: dict[str, Any], changes: dict[str, Any]
) -> None:
    records = processes(SPEEDS, **PASSED)
    records[1] = replace(records[1], **rows)
    assert against(records, run(**FIT | changes)) == [name]


def test_two_processes_and_failed_rows_are_too_few() -> None:
    assert against(processes(SPEEDS[:2], **PASSED), run(**FIT)) == ["processes"]
    crashed = record(status="crashed", reason="signal 11", implementation="flax_nnx")
    assert against([*processes(SPEEDS, **PASSED), crashed], run(**FIT)) == ["complete"]
    assert against([], run(**FIT)) == ["complete", "processes"]


def test_check_says_it_by_its_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(tmp_path / "good", processes(SPEEDS, **PASSED))
    keep(tmp_path / "bad", processes(SPEEDS), commit=None)
    assert main(["check", str(tmp_path / "good")]) == 0
    assert capsys.readouterr().out.endswith("good: fit to publish\n")
    assert main(["check", str(tmp_path / "good"), str(tmp_path / "bad")]) == 1
    assert "bad: not fit to publish: code, certified" in capsys.readouterr().out
    assert main(["check", str(tmp_path / "bad"), "--json"]) == 1
    [found] = json.loads(capsys.readouterr().out).values()
    assert [each["name"] for each in found if not each["fit"]] == ["code", "certified"]
    assert main(["check", str(tmp_path)]) == 2


def test_an_archive_holds_the_run_and_sums_that_can_be_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = keep(tmp_path / "good", processes(SPEEDS, **PASSED))
    (folder.path / "elsewhere").symlink_to("/etc/passwd")
    assert main(["archive", str(folder.path), "--out", str(tmp_path / "a.tar.gz")]) == 0
    said = capsys.readouterr().out.split()
    content = (tmp_path / "a.tar.gz").read_bytes()
    assert said[0] == hashlib.sha256(content).hexdigest()
    with tarfile.open(tmp_path / "a.tar.gz") as archive:
        archive.extractall(tmp_path / "out", filter="data")
    unpacked = tmp_path / "out" / "good"
    sums = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    checked = subprocess.run(sums, cwd=unpacked, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    names = {file.name for file in unpacked.iterdir()} - {"logs", "SHA256SUMS"}
    assert set(checked.stdout.replace(": OK", "").split()) == names
    assert {"run.json", "records.jsonl", "constraints.txt", "REVIEW.md"} <= names
    assert "elsewhere" not in names
    assert "fit to publish" in (unpacked / "REVIEW.md").read_text()
    assert RunFolder.open(unpacked).records() == folder.records()
    assert main(["archive", str(folder.path), "--out", str(tmp_path / "b.tar.gz")]) == 0
    assert (tmp_path / "b.tar.gz").read_bytes() == content
    assert main(["archive", str(folder.path), "--out", str(tmp_path / "b.tar.gz")]) == 2


def test_repeat_installs_what_the_run_had() -> None:
    shown = section(report_md(*processes(SPEEDS, **PASSED), **FIT), "Repeat it")
    lines = shown.split("```")[1].splitlines()[1:]
    assert lines[0] == "git checkout 8eec895f1c2a"
    words = shlex.split(lines[2])
    assert words[1:4] == ["install", "--constraint", "constraints.txt"]
    assert words[4:6] == ["--extra-index-url", "https://download.pytorch.org/whl/cpu"]
    assert words[6:] == ["--editable", ".[torch]"]
    of_a_wheel = report_md(*processes(SPEEDS), **FIT | {"commit": None})
    assert "'resnet-bench[torch]==0.1.0'" in of_a_wheel
    changed = report_md(*processes(SPEEDS), **FIT | {"commit": "8eec895f1c2a-dirty"})
    assert "git checkout 8eec895f1c2a  # the code was changed since" in changed
    assert "pip install" not in report_md(*processes(SPEEDS))


def test_installed_packages_are_constraints_that_pip_takes(tmp_path: Path) -> None:
    here = installed()
    assert "resnet-bench" not in here  # installed from a folder, which nobody else has
    file = tmp_path / "constraints.txt"
    file.write_text(run(packages={name: here[name] for name in ("numpy", "pip")}).constraints)
    words = ["install", "--dry-run", "--no-index", "--no-deps", "--constraint", file, "numpy"]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, words)]
    finished = subprocess.run(pip, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert run(packages={"a": "git+https://b@c"}).constraints == "a @ git+https://b@c\n"


def test_report_says_what_is_not_the_same_here(
    resnet_bench: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    assert changes({"a": "1", "b": "2"}, {"a": "1"}) == ["b 2, here not installed"]
    folder = keep(tmp_path / "there", processes(SPEEDS))
    finished = resnet_bench("report", folder.path)
    assert finished.returncode == 0
    [line] = [line for line in finished.stderr.splitlines() if "not as here" in line]
    assert f"numpy 2.1.0, here {installed()['numpy']}" in line
    assert "(commit 8eec895f1c2a), here" in line
    assert "processor Example CPU, here" in line
