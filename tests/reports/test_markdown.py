"""`report.md` says what the records say."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.analysis.ranking import contests_of
from bench.analysis.statistics import estimate
from bench.reports.formats import csv as tables
from bench.reports.formats import terminal
from bench.reports.sections import how_to_read, ranking
from bench.reports.write import REPORTS
from bench.validation import plain
from builders import (
    JAX,
    TENSORFLOW,
    processes,
    record,
    report,
    report_md,
    run,
    section,
    table_cells,
    timed,
)

FAILED = record(status="oom", reason="no memory", replicate=1, **TENSORFLOW)


def test_the_answer_comes_first() -> None:
    text = report_md(*processes([2.0, 2.1]), *processes([1.0, 1.05], **JAX))
    title, answer, after = text.split("\n\n")[:3]
    assert title == "# first"
    assert "Keras functional on JAX is fastest, 2.00 [" in answer
    assert " times as fast as PyTorch eager. Keras functional on JAX is at 625 [" in answer
    assert after.startswith("## train resnet14")


def test_figures_carry_their_intervals() -> None:
    cells = table_cells(report_md(*processes([2.0, 2.1]), *processes([1.0, 1.05], **JAX)))
    expected = estimate([640.0, 640 / 1.05])
    assert expected is not None
    assert f"{expected.value:,.0f} [{expected.low:,.0f}, {expected.high:,.0f}]" in cells


def test_slow_cells_are_told_by_three_figures_too() -> None:
    slow = processes([70.0, 71.0])  # seconds for ten steps of 64 images
    assert any(cell.startswith("9.08 [") for cell in table_cells(report_md(*slow)))


def test_synthetic_data_have_no_test_accuracy_worth_a_column() -> None:
    tested = timed([1.0], test_accuracy=0.125)
    assert "12.5%" in report_md(tested)
    noise = timed([1.0], test_accuracy=0.125, dataset="synthetic")
    assert "12.5%" not in report_md(noise)


def test_costs_of_which_nothing_is_known_have_no_column() -> None:
    known = {"step_ms_median": 12.34, "step_ms_p95": 45.67}
    costs = section(report_md(timed([1.0], **known), timed([2.0], **JAX)), "train resnet14")
    costs = costs.split("### What it costs")[1]
    assert "| latency ms | p95 |" in costs
    assert {"12.3", "45.7", "–"} < set(table_cells(costs))
    assert "p99" not in costs
    assert "device" not in costs


def test_a_tie_is_called_a_tie() -> None:
    text = report_md(*processes([1.0, 1.1, 1.0]), *processes([1.05, 1.0, 1.05], **JAX))
    assert "PyTorch eager and Keras functional on JAX tie. PyTorch eager is at " in text
    assert " of its speed may be as fast" in text
    assert "tie" in table_cells(text)
    assert "lower still" not in text.split("\n\n")[1]
    assert "times as fast" not in text.split("\n\n")[1]


def test_letters_are_shown_where_rows_look_alike_and_differ() -> None:
    drift = [1.0, 1.5, 0.7]  # of the machine, which widens the intervals against a steady row
    first = processes([0.5, 0.5, 0.5])
    second = processes([1.0 * d for d in drift], **JAX)
    third = processes([1.2 * d for d in drift], **TENSORFLOW)
    records = [*first, *second, *third]
    summary = csv.DictReader(io.StringIO(tables.summary(report(*records))))
    groups = [row["group"] for row in summary]
    (contest,) = contests_of(records)
    assert contest.letters_needed
    cells = table_cells(report_md(*records))
    assert [cells[cells.index(s.cell.label) + 4] for s in contest.summaries] == groups
    assert len(set(groups[1:])) == 2
    (table,) = terminal.tables(report(*records))
    assert [list(column.cells) for column in table.columns if column.header == "group"] == [groups]


def test_letters_are_not_shown_where_intervals_say_the_same() -> None:
    equal = processes([1.0, 1.1, 1.0]), processes([1.05, 1.0, 1.05], **JAX)
    records = [*equal[0], *equal[1], *processes([3.0, 3.1, 3.3], **TENSORFLOW)]
    summary = csv.DictReader(io.StringIO(tables.summary(report(*records))))
    assert [row["group"] for row in summary] == ["a", "a", "b"]
    assert "group" not in table_cells(report_md(*records), "th")
    (table,) = terminal.tables(report(*records))
    assert "group" not in [column.header for column in table.columns]
    assert len(table.rows) == 3


def test_every_column_of_a_ranking_is_defined() -> None:
    defined = how_to_read.DEFINITIONS | how_to_read.TO_TARGET
    columns = ranking.SPEEDS | ranking.BESIDE | ranking.COSTS | ranking.TIMES
    explained = " ".join(" ".join(defined.values()).split()).lower()
    within = {
        **{"first step s": "first step", "host MiB at set-up": "at set-up"},
        **{f"device {part} MiB": part for part in ("reserved", "process", "program")},
        **{"steps, median (range)": "steps", "evaluation s": "evaluation"},
    }
    for name in columns:
        word = within.get(name, name)
        assert word in defined or f"**{word}**" in explained


def test_a_single_process_has_no_verdict() -> None:
    text = report_md(timed([1.0]), timed([2.0], **JAX))
    assert (
        "no verdict; PyTorch eager ran at 640 images/s. Without an interval nothing can be said of "
        "Keras functional on JAX." in text
    )
    assert "–" in table_cells(text)
    assert "times as fast" not in text.split("\n\n")[1]


def test_what_has_an_interval_is_not_said_to_lack_one() -> None:
    # Fastest on average by a process that the other lacks, yet slower side by side.
    text = report_md(*processes([1.0, 1.01, 0.3]), *processes([0.8, 0.81], **JAX))
    assert "ithout an interval" not in text.split("\n\n")[1]


def test_a_failure_is_reported_with_its_reason() -> None:
    text = report_md(timed([1.0]), FAILED)
    found = table_cells(section(text, "Not ranked"))
    assert found[:2] == ["Keras functional on TensorFlow", "keras_functional[tensorflow] graph"]
    assert found[-3:] == ["1", "oom", "no memory"]


def test_a_contest_that_nothing_finished_says_so() -> None:
    text = report_md(FAILED)
    assert "nothing could be measured." in text.split("\n\n")[1]
    assert "no memory" in text


@pytest.mark.parametrize("field", ["weights_sha256", "data_sha256"])
def test_work_that_began_from_other_bytes_is_called_different(field: str) -> None:
    same = section(report_md(timed([1.0]), timed([1.0], **JAX)), "Same work")
    other = section(report_md(timed([1.0]), timed([1.0], **JAX, **{field: "c" * 64})), "Same work")
    assert same.count("the same in all 2 processes") == 2
    assert other.count("**DIFFERENT** (") == 1
    assert "cccccccccccc" in other


def test_work_of_unknown_bytes_is_not_called_the_same() -> None:
    unknown = {"weights_sha256": None, "data_sha256": None}
    text = report_md(timed([1.0], **unknown), timed([1.0], **JAX, **unknown))
    assert "the same in all" not in section(text, "Same work")


def test_seeds_that_are_not_compared_are_not_called_different() -> None:
    other_seed = timed([1.0], seed=1, weights_sha256="c" * 64, data_sha256="d" * 64)
    assert "DIFFERENT" not in report_md(timed([1.0]), other_seed)


def test_a_run_of_a_users_file_that_is_gone_can_still_be_reported(tmp_path: Path) -> None:
    gone = str(tmp_path / "mine.py")
    row = timed([1.0], implementation=gone, framework="mine", backend="mine")
    for render in REPORTS.values():
        assert "mine" in "".join(render(report(row)))


def test_a_run_of_an_implementation_that_was_removed_can_still_be_reported() -> None:
    row = timed([1.0], implementation="torch_script", backend="torch")
    for render in REPORTS.values():
        assert "torch_script" in "".join(render(report(row)))


def test_how_to_repeat_each_run_is_at_the_end() -> None:
    runs = [run(), run(run_id="second", command="resnet-bench run --seed 7")]
    text = report_md(timed([1.0]), runs=runs)
    assert text.startswith("# first, second\n")
    assert text.endswith(f"```sh\n{runs[0].command}\nresnet-bench run --seed 7\n```\n")


def test_when_and_with_what_a_run_was_made_is_said_as_far_as_it_is_known() -> None:
    asked = {"device": ["cpu"], "batch_size": [32, 64], "steps": 72, "replicates": 3}
    known: dict[str, Any] = {
        "utc": "2026-11-23T00:40:02+00:00",
        "resnet_bench": "0.1.0",
        "options": asked,
    }
    text = report_md(timed([1.0]), command="resnet-bench run --steps 72", **known)
    begun = "egun 2026-11-23 00:40 UTC, resnet-bench 0.1.0, 3 processes per cell\n"
    assert f"\nB{begun}" in text
    assert f"\n- first: b{begun}" in report_md(timed([1.0]), runs=[run(**known), run()])
    filled = "# there: --device cpu --batch-size 32 64 --replicates 3"
    assert f"```sh\nresnet-bench run --steps 72  {filled}\n```\n" in text
    assert "egun" not in report_md(timed([1.0]))


def test_reports_are_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    versions = [{"numpy": f"2.{k}", f"package{k}": "1"} for k in range(8)]
    path = tmp_path / "records.jsonl"
    path.write_text("".join(timed([1.0], versions=v).to_json() + "\n" for v in versions))
    program = (
        "import sys; from pathlib import Path\n"
        "from bench.records import Run; from bench.records.reading import read\n"
        "from bench.reports.report import Report; from bench.reports.write import REPORTS\n"
        "from bench.validation import parse\n"
        "report = Report(read(Path(sys.argv[1])), [parse(sys.argv[2], Run)])\n"
        "for render in REPORTS.values():\n"
        "    print(''.join(render(report)))"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", program, str(path), json.dumps(plain(run()))],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(texts) == 1
