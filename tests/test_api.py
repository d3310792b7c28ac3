"""`bench.api`: what the command line does, from Python."""

import os
import re
from pathlib import Path

import pytest

from bench import api
from bench.errors import UsageError
from bench.machine.exclusive import alone
from bench.records import Record
from bench.records.folder import RunFolder
from builders import SPEEDS, processes, record, report, run, slower

ROOT = Path(__file__).parents[1]


def keep(path: Path, name: str, rows: list[Record]) -> Path:
    folder = RunFolder.create(path, run(run_id=name))
    for row in rows:
        folder.append(row)
    return path


def test_the_guides_program_runs(
    fake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    [program] = re.findall(r"```python\n(from bench.api.*?)```", text, re.DOTALL)
    small = program.replace('("torch_module", "flax_nnx")', repr((str(fake),))).replace(
        "steps=40", 'steps=4, optimizer=("sgd",), certify=False, batch_size=(16,), replicates=2'
    )
    assert small.count("fake_implementation") == small.count("certify=False") == 1
    (tmp_path / "results").mkdir()
    for published in (ROOT / "results").glob("20261128-07*"):
        (tmp_path / "results" / published.name).symlink_to(published)
    monkeypatch.chdir(tmp_path)
    exec(compile(small, "python.md", "exec"), {})
    said = capsys.readouterr().out.splitlines()
    assert "1" in said  # records so far
    assert "2" in said
    assert "fake_implementation eager" in said
    assert (tmp_path / "results" / "mine" / "report.md").exists()
    assert len(api.load("results/mine").records) == 2
    kept = RunFolder.open(Path("results/mine")).run
    assert kept.neighbours is not None
    assert kept.locked is False  # a test has a lock of its own
    text = (tmp_path / "results" / "mine" / "report.md").read_text(encoding="utf-8")
    assert "without the lock that keeps other measurements on the machine away" in text


def test_a_run_is_refused_while_another_goes_on(fake: Path, tmp_path: Path) -> None:
    request = api.Request(impl=(str(fake),), optimizer=("sgd",), certify=False)
    with (
        alone(wait=False, say=print),
        pytest.raises(UsageError, match=f"another measurement goes on.*pid {os.getpid()} of"),
    ):
        api.run(request, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_report_is_shown_as_its_rankings() -> None:
    hostile = record(
        implementation="flax_nnx", status="crashed", reason="<script>alert(1)</script>"
    )
    html = report(*processes(SPEEDS), hostile)._repr_html_()
    assert "<table>" in html
    assert "torch_module eager" in html
    assert "<script>" not in html


def test_a_comparison_has_its_verdicts_and_is_shown(tmp_path: Path) -> None:
    base = keep(tmp_path / "first", "first", processes(SPEEDS))
    new = keep(tmp_path / "second", "second", slower(0.1))
    found = api.compare(base, new, limits={"slower": 0.03})
    [changed] = found.cells
    assert changed.changes["speed"].verdict == "slower"
    assert len(found.judgement.failed) == 1
    assert "<table>" in found._repr_html_()
    assert api.load([base, new]).runs[1].run_id == "second"


def test_mistakes_are_raised_and_nothing_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match="holds no run"):
        api.load(tmp_path)
    with pytest.raises(UsageError, match="unknown implementation"):
        api.run(api.Request(impl=("torch_modul",)), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
