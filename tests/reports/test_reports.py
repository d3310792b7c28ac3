"""What is derived from the records says what they say, whatever text they hold."""

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from bench.analysis.contests import summarise
from bench.analysis.statistics import estimate
from bench.cells import Cell
from bench.records import FIELDS, Record
from bench.reports.formats import csv as tables
from bench.reports.formats import markdown
from bench.reports.formats import terminal as ranking
from bench.reports.write import REPORTS
from builders import JAX, TENSORFLOW, processes, record, run, timed

FAILED = record(status="oom", reason="no memory", replicate=1, **TENSORFLOW)
HOSTILE = (
    "a|b \\| c\n\n# heading\r\n<script>alert(1)</script> &lt; `code` [link](http://x.example) "
    "Implementation.__init__() got *args, **options"
)


def report(*records: Record, **changes: Any) -> str:
    return markdown.render(records, [run(**changes)])


def rows(text: str | Iterable[str]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(text))))


def parse(text: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(text)


def section(text: str, heading: str) -> str:
    """What stands under `heading`."""
    return text.split(f"\n## {heading}", 1)[1].split("\n## ", 1)[0]


def table_cells(text: str) -> list[str]:
    """The table cells of a Markdown text, as a reader sees them."""
    tokens = parse(text)
    return [
        "".join(part.content for part in tokens[index + 1].children or [])
        for index, token in enumerate(tokens)
        if token.type == "td_open"
    ]


def test_results_have_one_column_for_each_field_and_one_row_for_each_record() -> None:
    text = "".join(tables.results([timed([0.1]), FAILED], []))
    assert next(csv.reader(io.StringIO(text))) == [field.name for field in fields(Record)]
    assert [row["status"] for row in rows(text)] == ["ok", "oom"]


def test_results_parse_back_to_the_records_values() -> None:
    given = timed(
        [1 / 3, 0.2], final_loss=1e-17, steady=False, versions={"numpy": "2"}, reason='a,"b"\nc'
    )
    (row,) = rows(tables.results([given], []))
    assert float(row["throughput_images_per_s"]) == given.throughput_images_per_s
    assert float(row["final_loss"]) == 1e-17
    assert json.loads(row["block_s"]) == [1 / 3, 0.2]
    assert json.loads(row["versions"]) == {"numpy": "2"}
    assert (row["steady"], row["reason"]) == ("False", 'a,"b"\nc')


def test_a_value_that_is_unknown_is_empty_in_results() -> None:
    (row,) = rows(tables.results([record(test_accuracy=0.0)], []))
    unknown = [name for name in FIELDS if getattr(record(), name) is None]
    assert {row[name] for name in unknown if name != "test_accuracy"} == {""}
    assert row["test_accuracy"] == "0.0"


def test_summary_has_one_row_for_each_cell() -> None:
    text = tables.summary([*processes([1.0, 1.0]), *processes([2.0, 2.0], **JAX), FAILED], [])
    found = [(row["backend"], row["processes"], row["failures"]) for row in rows(text)]
    assert found == [("torch", "2", "0"), ("jax", "2", "0"), ("tensorflow", "0", "1")]
    assert set(rows(text)[0]) >= {"machine", "processor", *(field.name for field in fields(Cell))}


def test_summary_states_estimates_with_their_intervals() -> None:
    row = rows(tables.summary([*processes([1.0, 1.5]), *processes([2.0, 3.0], **JAX)], []))[1]
    expected = estimate([320.0, 640 / 3])
    assert expected is not None
    columns = [f"throughput_images_per_s{end}" for end in ("", "_low", "_high")]
    assert [float(row[column]) for column in columns] == pytest.approx(
        [expected.value, expected.low, expected.high]
    )
    assert float(row["speed_against_fastest"]) == pytest.approx(0.5)
    assert row["verdict"] == "slower"


def test_a_value_that_is_unknown_is_empty_in_summary() -> None:
    (one, failed) = rows(tables.summary([timed([1.0]), FAILED], []))
    assert (one["throughput_images_per_s_low"], one["verdict"]) == ("", "")
    assert (failed["throughput_images_per_s"], failed["speed_against_fastest"]) == ("", "")
    assert failed["first_step_s_median"] == ""


def test_the_answer_comes_first() -> None:
    text = report(*processes([2.0, 2.1]), *processes([1.0, 1.05], **JAX))
    title, answer, after = text.split("\n\n")[:3]
    assert title == "# first"
    assert "keras_functional[jax] compiled is fastest at 625 [" in answer
    assert "slower is torch_module eager (0.50 [" in answer
    assert after.startswith("## train resnet14")


def test_figures_carry_their_intervals() -> None:
    cells = table_cells(report(*processes([2.0, 2.1]), *processes([1.0, 1.05], **JAX)))
    expected = estimate([640.0, 640 / 1.05])
    assert expected is not None
    assert f"{expected.value:,.0f} [{expected.low:,.0f}, {expected.high:,.0f}]" in cells


def test_slow_cells_are_told_by_three_figures_too() -> None:
    slow = processes([70.0, 71.0])  # seconds for ten steps of 64 images
    assert any(cell.startswith("9.08 [") for cell in table_cells(report(*slow)))


def test_synthetic_data_have_no_test_accuracy_worth_a_column() -> None:
    tested = timed([1.0], test_accuracy=0.125)
    assert "12.5%" in report(tested)
    noise = timed([1.0], test_accuracy=0.125, dataset="synthetic")
    assert "12.5%" not in report(noise)


def test_costs_of_which_nothing_is_known_have_no_column() -> None:
    known = {"step_ms_median": 12.34, "step_ms_p95": 45.67}
    costs = section(report(timed([1.0], **known), timed([2.0], **JAX)), "train resnet14")
    costs = costs.split("### What it costs")[1]
    assert "| latency ms | p95 |" in costs
    assert {"12.3", "45.7", "–"} < set(table_cells(costs))
    assert "p99" not in costs
    assert "device" not in costs


def test_a_tie_is_called_a_tie() -> None:
    text = report(*processes([1.0, 1.1, 1.0]), *processes([1.05, 1.0, 1.05], **JAX))
    assert "torch_module eager, keras_functional[jax] compiled tie, the first at" in text
    assert "tie" in table_cells(text)
    assert "; slower" not in text


def test_rows_that_cannot_be_told_apart_share_a_letter_in_every_report() -> None:
    equal = processes([1.0, 1.1, 1.0]), processes([1.05, 1.0, 1.05], **JAX)
    records = [*equal[0], *equal[1], *processes([3.0, 3.1, 3.3], **TENSORFLOW)]
    assert [row["group"] for row in rows(tables.summary(records, [run()]))] == ["a", "a", "b"]
    (contest,) = summarise(records)
    cells = table_cells(report(*records))
    assert [cells[cells.index(s.cell.label) + 4] for s in contest] == ["a", "a", "b"]
    (table,) = ranking.tables(records, [run()])
    assert [list(column.cells) for column in table.columns if column.header == "group"] == [
        ["a", "a", "b"]
    ]


def test_a_single_process_has_no_verdict() -> None:
    text = report(timed([1.0]), timed([2.0], **JAX))
    assert "without an interval nothing can be said of keras_functional[jax] compiled" in text
    assert "–" in table_cells(text)
    assert "; slower" not in text


def test_what_has_an_interval_is_not_said_to_lack_one() -> None:
    # Fastest on average by a process that the other lacks, yet slower side by side.
    text = report(*processes([1.0, 1.01, 0.3]), *processes([0.8, 0.81], **JAX))
    assert "without an interval" not in text.split("\n\n")[1]


def test_a_failure_is_reported_with_its_reason() -> None:
    text = report(timed([1.0]), FAILED)
    found = table_cells(section(text, "Not ranked"))
    assert found[0] == "keras_functional[tensorflow] graph"
    assert found[-3:] == ["1", "oom", "no memory"]


def test_a_contest_that_nothing_finished_says_so() -> None:
    text = report(FAILED)
    assert "nothing could be measured." in text.split("\n\n")[1]
    assert "no memory" in text


@pytest.mark.parametrize("field", ["weights_sha256", "data_sha256"])
def test_work_that_began_from_other_bytes_is_called_different(field: str) -> None:
    same = section(report(timed([1.0]), timed([1.0], **JAX)), "Same work")
    other = section(report(timed([1.0]), timed([1.0], **JAX, **{field: "c" * 64})), "Same work")
    assert same.count("the same in all 2 processes") == 2
    assert other.count("**DIFFERENT** (") == 1
    assert "cccccccccccc" in other


def test_work_of_unknown_bytes_is_not_called_the_same() -> None:
    unknown = {"weights_sha256": None, "data_sha256": None}
    text = report(timed([1.0], **unknown), timed([1.0], **JAX, **unknown))
    assert "the same in all" not in section(text, "Same work")


def test_seeds_that_are_not_compared_are_not_called_different() -> None:
    other_seed = timed([1.0], seed=1, weights_sha256="c" * 64, data_sha256="d" * 64)
    assert "DIFFERENT" not in report(timed([1.0]), other_seed)


@pytest.mark.parametrize("reason", [HOSTILE, "<script>", "`|`", "\\", "\\|", "**", "![x](y)"])
def test_a_reason_is_shown_as_it_is_and_breaks_nothing(reason: str) -> None:
    text = report(timed([1.0]), record(status="crashed", reason=reason, **TENSORFLOW))
    found = table_cells(section(text, "Not ranked"))
    assert len(found) == 5
    assert found[-1] == " ".join(reason.split())


def test_no_text_from_outside_becomes_html_or_a_heading() -> None:
    machine = run()["machine"] | {"machine": HOSTILE, "cpu": HOSTILE, "os": HOSTILE}
    crashed = record(status="crashed", reason=HOSTILE, processor=HOSTILE, dataset=HOSTILE)
    text = report(crashed, timed([1.0], versions={"numpy": HOSTILE}), machine=machine)
    html = MarkdownIt("commonmark").enable("table").render(text)
    assert "<script>" not in html
    sweep = [timed([1.0], dataset=HOSTILE, batch_size=size) for size in range(1, 7)]
    assert "<script>" not in MarkdownIt("commonmark").render(report(*sweep))
    assert "<h1>heading</h1>" not in html
    assert html.count("<h1>") == 1


def test_a_command_that_would_end_its_block_stays_in_it() -> None:
    command = "resnet-bench run --impl 'a\n```\n<script>alert(1)</script>\n````\n# heading'"
    html = MarkdownIt("commonmark").render(report(timed([1.0]), command=command))
    assert "<script>" not in html
    assert html.count("<h1>") == 1


FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\uff1d1")


@pytest.mark.parametrize("text", FORMULAS)
def test_no_text_from_outside_becomes_a_formula(text: str) -> None:
    outside = {"machine": text, "processor": text, "implementation": text, "dataset": text}
    row = timed([1.0], host_leak_kib_per_step=-1.5, final_loss=-2.0, **outside)
    failed = record(status="crashed", reason=f"{text}, it\r said", **outside)
    for render in (tables.results, tables.summary):
        for found in rows(render([row, failed], [run()])):
            for name in outside:
                assert found[name] == "'" + text.replace("\r", "\n")
    first, second = rows(tables.results([row, failed], []))
    assert second["reason"].startswith("'")
    assert second["reason"].endswith(", it\n said")
    assert (first["host_leak_kib_per_step"], first["final_loss"]) == ("-1.5", "-2.0")
    (summary, *_) = rows(tables.summary([row], []))
    assert summary["final_loss_median"] == "-2.0"


def test_a_list_that_no_spreadsheet_holds_is_counted_in_csv() -> None:
    given = [timed([1.0], losses=(0.123456789,) * count) for count in (100, 10_000)]
    short, long = rows(tables.results(given, []))
    assert json.loads(short["losses"]) == [0.123456789] * 100
    assert long["losses"] == "10000 values, all in records.jsonl"
    assert max(map(len, long.values())) <= 32_767


def test_harmless_text_is_left_as_it_is_in_csv() -> None:
    given = "a - b = c; 5 % + 'quoted' \"twice\", |pipe| <script>"
    (row,) = rows(tables.results([record(status="oom", reason=given)], []))
    assert row["reason"] == given


def test_a_run_of_a_users_file_that_is_gone_can_still_be_reported(tmp_path: Path) -> None:
    gone = str(tmp_path / "mine.py")
    row = timed([1.0], implementation=gone, framework="mine", backend="mine")
    for render in REPORTS.values():
        assert "mine" in "".join(render([row], [run()]))


def test_a_run_of_an_implementation_that_was_removed_can_still_be_reported() -> None:
    row = timed([1.0], implementation="torch_script", backend="torch")
    for render in REPORTS.values():
        assert "torch_script" in "".join(render([row], [run()]))


def test_how_to_repeat_each_run_is_at_the_end() -> None:
    runs = [run(), run(run_id="second", command="resnet-bench run --seed 7")]
    text = markdown.render([timed([1.0])], runs)
    assert text.startswith("# first, second\n")
    assert text.endswith(f"```sh\n{runs[0]['command']}\nresnet-bench run --seed 7\n```\n")


def test_when_and_with_what_a_run_was_made_is_said_as_far_as_it_is_known() -> None:
    asked = {"device": ["cpu"], "batch_size": [32, 64], "steps": 72, "replicates": 3}
    known = {"utc": "2026-11-23T00:40:02+00:00", "resnet_bench": "0.1.0", "options": asked}
    text = markdown.render([timed([1.0])], [run(command="resnet-bench run --steps 72", **known)])
    begun = "egun 2026-11-23 00:40 UTC, resnet-bench 0.1.0, 3 processes per cell\n"
    assert f"\nB{begun}" in text
    assert f"\n- first: b{begun}" in markdown.render([timed([1.0])], [run(**known), run()])
    filled = "# there: --device cpu --batch-size 32 64 --replicates 3"
    assert f"```sh\nresnet-bench run --steps 72  {filled}\n```\n" in text
    assert "egun" not in markdown.render([timed([1.0])], [run()])


def test_reports_are_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    versions = [{"numpy": f"2.{k}", f"package{k}": "1"} for k in range(8)]
    path = tmp_path / "records.jsonl"
    path.write_text("".join(timed([1.0], versions=v).to_json() + "\n" for v in versions))
    program = (
        "import json, sys; from pathlib import Path\n"
        "from bench.records.reading import read; from bench.reports import REPORTS\n"
        "for render in REPORTS.values():\n"
        "    print(''.join(render(read(Path(sys.argv[1])), [json.loads(sys.argv[2])])))"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", program, str(path), json.dumps(run())],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(texts) == 1
