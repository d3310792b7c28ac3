"""`report` of a folder of runs: all reports again, and an index that names every run."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from bench.cli.main import main
from published import edit, elsewhere, published

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Two runs, one of them deeper, beside what is none."""
    one = published(tmp_path / "site" / "one")
    elsewhere(one, tmp_path / "site" / "of 2026" / "two", factor=2)
    (tmp_path / "site" / "README.md").write_text("mine")
    (tmp_path / "site" / "notes").mkdir()
    return tmp_path / "site"


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def index(folder: Path) -> list[str]:
    return (folder / "index.md").read_text(encoding="utf-8").splitlines()[4:]


def test_a_folder_of_runs_becomes_a_site_and_stays_what_it_is(
    site: Path, resnet_bench: Run
) -> None:
    before = contents(site)
    finished = resnet_bench("report", site)
    assert (finished.returncode, finished.stderr) == (0, "")
    once = contents(site)
    assert finished.stdout == once[site / "index.md"].decode()
    assert before.items() <= once.items()  # records and everything that was there
    for run in ("one", "of 2026/two"):
        assert (site / run / "report.md").is_file()
    assert resnet_bench("report", site).returncode == 0
    assert contents(site) == once


def test_each_run_is_listed_with_its_answer_and_links_that_lead_somewhere(site: Path) -> None:
    assert main(["report", str(site)]) == 0
    (one,) = (line for line in index(site) if "[one](" in line)
    for told in ("2026-11-23 00:40", "epyc-2core", "AMD EPYC", "resnet14", "train, infer"):
        assert f"| {told} |" in one
    assert "| fp32 | 64 | 100 |" in one
    assert "Training: PyTorch eager" in one
    assert "images/s; Inference: " in one
    tokens = MarkdownIt("commonmark").enable("table").parse((site / "index.md").read_text())
    links = [
        str(part.attrs["href"])
        for token in tokens
        for part in token.children or ()
        if part.type == "link_open"
    ]
    assert len(links) == 2 * (1 + 6)
    for link in links:
        assert (site / link.replace("%20", " ")).is_file()


def test_a_run_that_cannot_be_read_is_listed_with_its_reason(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (site / "one" / "records.jsonl").open("a") as file:
        file.write("| not a record\n")
    (site / "two").mkdir()
    (site / "two" / "records.jsonl").write_text("")
    (site / "three").mkdir()
    (site / "three" / "run.json").write_text(
        '{"run_id": "x", "command": "x", "options": {}, "machine": {"cpu": "x"}}'
    )
    assert main(["report", str(site)]) == 1
    told = capsys.readouterr()
    assert len(told.err.splitlines()) == 3
    lines = index(site)
    assert len(lines) == 4
    for line in lines:
        if "[one]" in line:
            assert "cannot be read: records.jsonl, line 19: not JSON" in line
        if "[two](two/" in line:
            assert "cannot be read: holds no run (there is no run.json in it)" in line
        if "[three]" in line:
            assert "cannot be read: run.json: " in line
    assert "<" not in "".join(lines)


def test_a_run_that_has_measured_nothing_yet_is_listed(site: Path) -> None:
    (site / "one" / "records.jsonl").unlink()
    assert main(["report", str(site)]) == 0
    (line,) = (line for line in index(site) if "[one](" in line)
    assert "nothing was measured" in line


def test_a_run_of_single_processes_is_listed_without_a_verdict(site: Path) -> None:
    path = site / "one" / "records.jsonl"
    rows = [line for line in path.read_text().splitlines() if '"replicate": 0' in line]
    path.write_text("".join(f"{row}\n" for row in rows))
    assert main(["report", str(site)]) == 0
    (line,) = (line for line in index(site) if "[one](" in line)
    assert line.count("images/s (no verdict)") == 2


def test_a_page_is_indexed_where_runs_have_one(site: Path) -> None:
    (site / "one" / "report.html").write_text("a page")
    edit(site / "one", lambda row: row.update(machine="<b>&"))
    assert main(["report", str(site)]) == 0
    page = (site / "index.html").read_text(encoding="utf-8")
    assert '<a href="one/report.html">page</a>' in page
    assert '<a href="of%202026/two/report.md">report</a>' in page
    assert "&lt;b&gt;&amp;" in page
    assert "<b>" not in page


def test_a_folder_of_runs_can_be_merged(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(site)
    assert main(["report", str(site), "--out", str(site.parent / "merged")]) == 0
    assert "## Hardware" in capsys.readouterr().out
    assert contents(site) == before


def test_a_folder_without_runs_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty" / "below").mkdir(parents=True)
    assert main(["report", str(tmp_path / "empty")]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert str(tmp_path / "empty") in line
    assert "holds no run" in line


def test_a_folder_whose_name_is_no_utf_8_is_listed_and_linked(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    odd = tmp_path / "caf\udce9"
    try:
        published(odd)
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    assert main(["report", str(tmp_path)]) == 0
    assert capfd.readouterr().err == ""
    for name in ("index.md", "index.html"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert "caf\\udce9" in text.replace("\\\\", "\\")
        assert "caf%E9/report.md" in text
