"""What the plots show is what was measured, and where nothing was, there is no plot."""

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.analysis.ranking import contests_of
from bench.cli import main as cli
from bench.obstacles import installed
from bench.records.folder import RunFolder
from bench.reports.formats import html
from bench.reports.plots import render
from bench.reports.plots.across import of_all
from bench.reports.plots.series import PAGE_POINTS, of_contest, points_per_curve, thinned
from bench.reports.write import write_reports
from builders import JAX, TENSORFLOW, processes, record, report, run, timed

PEAKS = {"cpu": {"all/fp32": {"gflop_per_s": 200.0, "library": "t", "copy_gb_per_s": 20.0}}}


def kinds(*records: Any, **changes: Any) -> list[str]:
    shown = report(*records, **changes)
    per_contest = [figure.kind for contest in shown.contests for figure in of_contest(contest)]
    return per_contest + [figure.kind for figure in of_all(shown)]


def test_what_was_not_measured_has_no_plot() -> None:
    failed = record(status="oom", reason="no memory", **TENSORFLOW)
    assert kinds(failed) == []
    assert kinds(timed([1.0]), failed) == ["throughput", "blocks"]
    assert kinds(timed([1.0]), timed([1.0], batch_size=8))[-1] == "scaling"
    known = timed([1.0], achieved_gflop_per_s=100.0)
    assert "roofline" not in kinds(known)
    assert kinds(known, peaks=PEAKS)[-1] == "roofline"


def test_curves_are_medians_over_processes() -> None:
    losses = ((3.0, 1.0), (5.0, 2.0), (4.0, 9.0))
    records = [timed([1.0], replicate=k, losses=each) for k, each in enumerate(losses)]
    (contest,) = contests_of(records)
    (figure,) = [each for each in of_contest(contest) if each.kind == "losses"]
    assert [(row["step"], row["loss"]) for row in figure.rows] == [(1, 4.0), (2, 2.0)]
    assert "Thinned" not in figure.summary


def test_latency_is_that_of_the_report_and_tells_no_percentile_of_few_steps() -> None:
    few, more = (float(k) for k in range(1, 4)), [float(k) for k in range(1, 22)]
    records = [
        timed([1.0], latency_ms=tuple(few)),
        *(timed([1.0], replicate=k, latency_ms=tuple(more), **JAX) for k in range(2)),
    ]
    (contest,) = contests_of(records)
    (figure,) = [each for each in of_contest(contest) if each.kind == "latency"]
    told = {"p25": 1.5, "median": 2.0, "p75": 2.5}
    untold = dict.fromkeys(("p5", "p95", "p99"))
    first, second = figure.rows
    assert first == {"label": "PyTorch eager", "steps": 3, **told, **untold}
    assert (second["steps"], second["median"], second["p95"]) == (42, 11.0, 20.0)
    assert second["p99"] is None


def test_blocks_that_ran_in_the_same_round_stand_above_each_other() -> None:
    records = [
        timed([1.0, 2.0], cohort=cohort, utc=utc, replicate=replicate, **contender)
        for cohort, utc, replicate in (("z", "2026-01-01", 0), ("a", "2026-01-02", 1))
        for contender in ({}, JAX)
    ]
    (contest,) = contests_of(records)
    (figure,) = [each for each in of_contest(contest) if each.kind == "blocks"]
    shown = {(row["label"], row["process"], row["round"], row["ms"]) for row in figure.rows}
    labels = ("PyTorch eager", "Keras functional on JAX")
    assert shown == {
        (label, process, 1 + block + 2 * process, 100.0 * (1 + block))
        for label in labels
        for process in (0, 1)
        for block in (0, 1)
    }


def test_what_is_thinned_keeps_its_ends_and_says_so() -> None:
    assert thinned(range(1000), 5) == [0, 250, 500, 749, 999]
    assert thinned(range(3), 5) == [0, 1, 2]
    (contest,) = contests_of([timed([1.0], losses=(1.0,) * 1000)])
    (figure,) = [each for each in of_contest(contest, 50) if each.kind == "losses"]
    assert len(figure.rows) == 50
    assert "of up to 1,000 points per curve, 50 evenly spread are drawn" in figure.summary


def test_more_curves_have_fewer_points_each() -> None:
    few = contests_of(processes([1.0, 1.0]))
    many = contests_of([timed([1.0], seed=seed) for seed in range(500)])
    assert points_per_curve(few) == 200
    assert 2 <= points_per_curve(many) <= PAGE_POINTS / 1000


def test_report_writes_the_page_and_with_plots_every_plot_as_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder.create(tmp_path / "run", run())
    for row in [*processes([2.0, 2.1]), *processes([1.0, 1.1], **JAX)]:
        folder.append(row)
    assert cli.main(["report", str(folder.path)]) == 0
    assert not (folder.path / "plots").exists()
    page = (folder.path / "report.html").read_bytes()
    assert page.startswith(b"<!doctype html>")
    assert len(page) < 3e6
    assert (folder.path / "ranking.svg").read_text().startswith("<svg")
    assert cli.main(["report", str(folder.path), "--plots"]) == 0
    assert (folder.path / "report.html").read_bytes() == page
    names = {path.name for path in (folder.path / "plots").iterdir()}
    assert names == {
        f"{kind}-1.{end}" for kind in ("throughput", "blocks") for end in ("svg", "png")
    }
    for path in (folder.path / "plots").glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if ": not as here: " not in line] == []


def test_without_its_packages_the_page_is_left_out_and_the_run_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        html, "installed", lambda name: None if name == "altair" else installed(name)
    )
    write_reports(tmp_path, report(timed([1.0])))
    assert (tmp_path / "report.md").exists()
    assert not (tmp_path / "report.html").exists()
    assert "not installed: altair (pip install" in capsys.readouterr().err


def test_a_page_that_cannot_be_drawn_says_why_in_one_line(tmp_path: Path) -> None:
    problem = render.begin(tmp_path / "gone", report(timed([1.0])))()
    assert problem is not None
    assert problem.startswith("report.html and plots are not written: FileNotFoundError")
    assert "\n" not in problem


def test_the_process_that_draws_is_the_only_one_to_import_what_draws(tmp_path: Path) -> None:
    program = (
        "import pickle, sys; from pathlib import Path; from bench.reports.plots import render\n"
        "assert render.begin(Path(sys.argv[1]), pickle.load(sys.stdin.buffer))() is None\n"
        "print(*sorted({'altair', 'vl_convert', 'jinja2', 'pandas'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        input=pickle.dumps(report(timed([1.0]))),
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"\n"


def test_plots_are_not_written_where_a_link_leads(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder.create(tmp_path / "run", run())
    (tmp_path / "precious").mkdir()
    (folder.path / "plots").symlink_to(tmp_path / "precious")
    write_reports(folder.path, report(timed([1.0])), plots=True)
    assert "plots is a link, and would be written to" in capfd.readouterr().err
    assert list((tmp_path / "precious").iterdir()) == []
