"""What is given twice counts once, and what contradicts is named."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.analysis.ranking import contests_of
from bench.cli.main import main
from bench.records.merging import merge
from bench.reports.formats import html
from bench.reports.plots import across, series
from bench.validation import plain
from builders import JAX, TENSORFLOW, processes, record, report, report_md, run, timed
from published import edit, elsewhere, published


def results(folder: Path) -> int:
    return len((folder / "results.csv").read_text(encoding="utf-8").splitlines()) - 1


def ran(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[str, list[str]]:
    """What a report prints, and its lines of warning."""
    assert main(["report", *map(str, arguments)]) == 0
    told = capsys.readouterr()
    return told.out, told.err.splitlines()


def test_a_run_given_twice_counts_once_and_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, out = published(tmp_path / "one"), tmp_path / "merged"
    rows = len((one / "records.jsonl").read_text().splitlines())
    text, warnings = ran(capsys, one, published(tmp_path / "copy"), "--out", out)
    assert results(out) == rows
    assert text.startswith("# 20261123-004002-quick\n")
    said = f"{rows} rows of 20261123-004002-quick were given more than once, and count once"
    assert f"**Warning**: {said}." in text
    assert warnings == [f"resnet-bench: warning: {said}"]


def test_rows_that_contradict_are_named_and_the_first_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other, out = published(tmp_path / "one"), published(tmp_path / "other"), tmp_path / "out"
    rows = (one / "records.jsonl").read_text().splitlines()
    alone, _ = ran(capsys, one)
    edit(other, lambda row: row.update(throughput_images_per_s=1e6))
    text, (warning,) = ran(capsys, one, other, "--out", out)
    assert results(out) == len(rows)
    assert f"{len(rows)} rows of 20261123-004002-quick contradict an earlier row" in warning
    assert "1,000,000" not in text
    assert [line for line in text.splitlines() if line not in alone] == [
        line for line in text.splitlines() if "**Warning**" in line
    ]


def test_a_row_that_stands_twice_in_one_run_counts_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = published(tmp_path / "one")
    path = one / "records.jsonl"
    lines = path.read_text(encoding="utf-8")
    path.write_text(lines + lines.split("\n")[0] + "\n", encoding="utf-8")
    text, _ = ran(capsys, one)
    assert results(one) == lines.count("\n")
    assert "1 row of 20261123-004002-quick was given more than once, and counts once" in text


def test_different_runs_of_one_name_are_told_apart_so_that_cohorts_are() -> None:
    ours, theirs = processes([1.0, 1.1]), processes([2.0, 2.2], **JAX)
    later = run(utc="2026-02-02T00:00:00+00:00")
    merged = merge([(run(), ours), (later, theirs)])
    assert [each.run_id for each in merged.runs] == ["first", "first (2)"]
    assert [row.run_id for row in merged.records] == ["first", "first", "first (2)", "first (2)"]
    assert merged.remarks == [
        "2 different runs are called first: that of 2026-02-02T00:00:00+00:00 on desk is shown as "
        "first (2)"
    ]
    again = merge([(run(), ours), (later, theirs), (later, theirs)])
    assert again.records == merged.records


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"chip": "Other CPU"}, "AMD EPYC, 2 cores"),
        ({"chip": "AMD EPYC", "physical_cores": 64}, "AMD EPYC, 64 cores"),
        ({"chip": "AMD EPYC", "gpus": [{"name": "A GPU", "memory_gib": 1}]}, "GPU A GPU in second"),
    ],
)
def test_one_name_for_different_hardware_is_named(
    facts: dict[str, Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = published(tmp_path / "one")
    two = elsewhere(one, tmp_path / "second", machine="epyc-2core", **facts)
    text, (warning,) = ran(capsys, one, two)
    assert "epyc-2core is the name of different hardware: " in warning
    assert said in warning
    assert ("## Hardware" in text) == (facts["chip"] == "Other CPU")


def test_rows_of_another_chip_than_others_of_their_machine_are_named() -> None:
    rows = [timed([1.0]), timed([1.0], run_id="second", processor="Other CPU")]
    merged = merge([(run(), rows[:1]), (run(run_id="second"), rows[1:])])
    (line,) = merged.remarks
    assert line.startswith("desk cpu is the name of different hardware: Example CPU in first; Oth")
    gpu = replace(rows[1], device="cuda")
    assert merge([(run(), rows[:1]), (run(run_id="second"), [gpu])]).remarks == []


def test_what_was_merged_can_be_read_by_machines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = published(tmp_path / "one")
    before = (one / "run.json").read_bytes(), (one / "records.jsonl").read_bytes()
    ran(capsys, one, elsewhere(one, tmp_path / "two"), "--out", tmp_path / "out")
    assert ((one / "run.json").read_bytes(), (one / "records.jsonl").read_bytes()) == before
    assert "remarks" not in json.loads(before[0])


def test_certificates_of_several_runs_are_all_told() -> None:
    proved = {"certificate_float64": "passed", "certificate_timed": "passed"}
    rows = timed([1.0]), timed([1.0], run_id="second", **proved)
    text = report_md(*rows, runs=[run(), run(run_id="second")])
    certificates = text.split("## Certificates")[1].split("\n## ")[0]
    assert "| PyTorch eager resnet14 cpu fp32 adam | not certified |" in certificates
    assert "| PyTorch eager resnet14 cpu fp32 adam | passed |" in certificates


def test_a_cell_that_is_certified_in_one_run_alone_is_so_in_part() -> None:
    proved = {"certificate_float64": "passed", "certificate_timed": "passed"}
    runs = [run(), run(run_id="second")]
    records = [timed([1.0], **proved), timed([1.0], run_id="second")]
    assert "| in part |" in report_md(*records, runs=runs)
    shown = json.dumps(plain(html.page_of(report(*records, runs=runs))))
    assert '"in part"' in shown
    assert '"passed"' not in shown


def test_machines_are_told_apart_wherever_a_contest_is_named() -> None:
    far = {"machine": "far", "processor": "Far CPU"}
    records = [
        row
        for where in ({}, far)
        for row in (
            *processes([1.0, 1.1, 1.05], **where),
            *processes([2.0, 2.1, 2.2], **TENSORFLOW | {"backend": "torch"} | where),
            *processes([0.1, 0.1, 0.1], batch_size=8, **where),
            record(status="crashed", reason="no luck", **JAX | where),
        )
    ]
    text = report_md(*records)
    failed = text.split("## Not ranked")[1].split("\n## ")[0]
    assert failed.count("no luck") == 2
    assert "on far, Far CPU" in failed
    titles = [figure.title for figure in across.of_all(report(*records))]
    assert len({title for title in titles if title.startswith("Batch size")}) == 2


def test_processes_of_two_runs_are_two_curves() -> None:
    rows = [timed([1.0, 1.1], run_id=name, cohort=name) for name in ("first", "second")]
    [contest] = contests_of(rows, [run(), run(run_id="second")])
    [blocks] = [figure for figure in series.of_contest(contest) if figure.kind == "blocks"]
    assert len({row["process"] for row in blocks.rows}) == 2


def test_contests_of_different_seeds_are_told_apart() -> None:
    text = report_md(timed([1.0]), timed([1.0], seed=1))
    headings = [line for line in text.splitlines() if line.startswith("## train")]
    assert len(set(headings)) == 2
