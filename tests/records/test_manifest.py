"""The digests of a finished run: what tells an edit apart from what was measured."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.records import manifest
from bench.records.folder import RunFolder
from bench.reports.report import Report
from bench.reports.write import write_reports
from builders import run, timed


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """The folder of a run that has ended, with its reports and weights."""
    folder = RunFolder.create(tmp_path / "first", run())
    folder.append(timed([1.0]))
    (folder.path / "weights").mkdir()
    (folder.path / "weights" / "a.safetensors").write_bytes(b"weights")
    write_reports(folder.path, Report(folder.records(), [folder.run]))
    manifest.seal(folder.path)
    return folder.path


def test_the_manifest_is_one_that_the_usual_tool_checks(finished: Path) -> None:
    if shutil.which("sha256sum") is None:
        pytest.skip("sha256sum is of GNU and not here")
    command = ["sha256sum", "--check", "--strict", manifest.FILE]
    checked = subprocess.run(command, cwd=finished, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    names = {"run.json", "records.jsonl", "weights/a.safetensors", "report.md", "results.csv"}
    assert names <= {line.partition(":")[0] for line in checked.stdout.splitlines()}


def edit(path: Path) -> None:
    path.write_text(path.read_text().replace("1.0", "0.5").replace("desk", "fast"))


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "records": (lambda at: edit(at / "records.jsonl"), "records.jsonl was altered"),
    "run": (lambda at: edit(at / "run.json"), "run.json was altered"),
    "weights": (lambda at: (at / "weights" / "a.safetensors").write_bytes(b"w"), "was altered"),
    "gone": (lambda at: shutil.rmtree(at / "weights"), "weights/a.safetensors is missing"),
    "manifest": (lambda at: (at / manifest.FILE).write_text("x"), "SHA256SUMS cannot be read"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_of_what_was_measured_is_found(change: str, finished: Path) -> None:
    assert manifest.altered(finished) == []
    alter, told = CHANGES[change]
    alter(finished)
    manifest.seal_reports(finished)  # to write the reports again makes nothing whole
    [found] = manifest.altered(finished)
    assert told in found


def test_a_run_that_was_altered_is_told_in_its_report(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(finished / "records.jsonl")
    told = "first: records.jsonl was altered since the run ended"
    for _ in range(2):
        assert main(["report", str(finished)]) == 0
        after = capsys.readouterr()
        assert told in after.err
        assert "since the run ended" in after.out


def test_reports_that_are_written_again_are_no_alteration(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (finished / "report.md").write_text("of another version")
    assert main(["report", str(finished), "--plots"]) == 0
    [line] = capsys.readouterr().err.splitlines()
    assert ": not as here: " in line  # the machine is made up
    assert manifest.altered(finished) == []
    assert "plots/" in (finished / manifest.FILE).read_text()


def test_a_run_without_a_manifest_is_read_without_a_word(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (finished / manifest.FILE).unlink()
    edit(finished / "records.jsonl")
    assert main(["report", str(finished)]) == 0
    [line] = capsys.readouterr().err.splitlines()
    assert ": not as here: " in line  # the machine is made up
    assert not (finished / manifest.FILE).exists()


def test_no_name_in_a_manifest_is_followed(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    with (finished / manifest.FILE).open("a") as file:
        file.write(f"{'0' * 64}  weights/../../secret\n{'0' * 64}  /dev/zero\n")
    (finished / "weights" / "link").symlink_to("/dev/zero")
    assert manifest.altered(finished) == ["weights/../../secret is missing"]
