"""`results.csv` and `summary.csv`: every value, and no formula."""

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import fields

import pytest

from bench.analysis.statistics import estimate
from bench.cells import Cell
from bench.records import FIELDS, Record
from bench.reports.formats import csv as tables
from builders import JAX, TENSORFLOW, processes, record, report, timed

FAILED = record(status="oom", reason="no memory", replicate=1, **TENSORFLOW)


def rows(text: str | Iterable[str]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(text))))


def test_results_have_one_column_for_each_field_and_one_row_for_each_record() -> None:
    text = "".join(tables.results(report(timed([0.1]), FAILED)))
    assert next(csv.reader(io.StringIO(text))) == [field.name for field in fields(Record)]
    assert [row["status"] for row in rows(text)] == ["ok", "oom"]


def test_results_parse_back_to_the_records_values() -> None:
    given = timed(
        [1 / 3, 0.2], final_loss=1e-17, steady=False, versions={"numpy": "2"}, reason='a,"b"\nc'
    )
    (row,) = rows(tables.results(report(given)))
    assert float(row["throughput_images_per_s"]) == given.throughput_images_per_s
    assert float(row["final_loss"]) == 1e-17
    assert json.loads(row["block_s"]) == [1 / 3, 0.2]
    assert json.loads(row["versions"]) == {"numpy": "2"}
    assert (row["steady"], row["reason"]) == ("False", 'a,"b"\nc')


def test_a_value_that_is_unknown_is_empty_in_results() -> None:
    (row,) = rows(tables.results(report(record(test_accuracy=0.0))))
    unknown = [name for name in FIELDS if getattr(record(), name) is None]
    assert {row[name] for name in unknown if name != "test_accuracy"} == {""}
    assert row["test_accuracy"] == "0.0"


def test_summary_has_one_row_for_each_cell() -> None:
    text = tables.summary(report(*processes([1.0, 1.0]), *processes([2.0, 2.0], **JAX), FAILED))
    found = [(row["backend"], row["processes"], row["failures"]) for row in rows(text)]
    assert found == [("torch", "2", "0"), ("jax", "2", "0"), ("tensorflow", "0", "1")]
    assert set(rows(text)[0]) >= {"machine", "processor", *(field.name for field in fields(Cell))}


def test_summary_states_estimates_with_their_intervals() -> None:
    row = rows(tables.summary(report(*processes([1.0, 1.5]), *processes([2.0, 3.0], **JAX))))[1]
    expected = estimate([320.0, 640 / 3])
    assert expected is not None
    columns = [f"throughput_images_per_s{end}" for end in ("", "_low", "_high")]
    assert [float(row[column]) for column in columns] == pytest.approx(
        [expected.value, expected.low, expected.high]
    )
    assert float(row["speed_against_fastest"]) == pytest.approx(0.5)
    assert row["verdict"] == "slower"


def test_a_value_that_is_unknown_is_empty_in_summary() -> None:
    (one, failed) = rows(tables.summary(report(timed([1.0]), FAILED)))
    assert (one["throughput_images_per_s_low"], one["verdict"]) == ("", "")
    assert (failed["throughput_images_per_s"], failed["speed_against_fastest"]) == ("", "")
    assert failed["first_step_s_median"] == ""


FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\uff1d1")


@pytest.mark.parametrize("text", FORMULAS)
def test_no_text_from_outside_becomes_a_formula(text: str) -> None:
    outside = {"machine": text, "processor": text, "implementation": text, "dataset": text}
    row = timed([1.0], host_leak_kib_per_step=-1.5, final_loss=-2.0, **outside)
    failed = record(status="crashed", reason=f"{text}, it\r said", **outside)
    for render in (tables.results, tables.summary):
        for found in rows(render(report(row, failed))):
            for name in outside:
                assert found[name] == "'" + text.replace("\r", "\n")
    first, second = rows(tables.results(report(row, failed)))
    assert second["reason"].startswith("'")
    assert second["reason"].endswith(", it\n said")
    assert (first["host_leak_kib_per_step"], first["final_loss"]) == ("-1.5", "-2.0")
    (summary, *_) = rows(tables.summary(report(row)))
    assert summary["final_loss_median"] == "-2.0"


def test_a_list_that_no_spreadsheet_holds_is_counted_in_csv() -> None:
    given = [timed([1.0], losses=(0.123456789,) * count) for count in (100, 10_000)]
    short, long = rows(tables.results(report(*given)))
    assert json.loads(short["losses"]) == [0.123456789] * 100
    assert long["losses"] == "10000 values, all in records.jsonl"
    assert max(map(len, long.values())) <= 32_767


def test_harmless_text_is_left_as_it_is_in_csv() -> None:
    given = "a - b = c; 5 % + 'quoted' \"twice\", |pipe| <script>"
    (row,) = rows(tables.results(report(record(status="oom", reason=given))))
    assert row["reason"] == given
