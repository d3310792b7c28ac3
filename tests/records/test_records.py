"""Records survive on disk, and a file that holds anything else is told by its line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.errors import UsageError
from bench.records import SCHEMA, Record, from_json
from bench.records.reading import read, read_all
from builders import record, timed

FIXTURES = Path(__file__).parents[1] / "fixtures"
SCHEMA_1 = FIXTURES / "records-v1-early.jsonl"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write lines, each ended by a newline, as a run's `records.jsonl`."""

    def write(*lines: str) -> Path:
        path = tmp_path / "records.jsonl"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return write


def without(row: Record, *names: str) -> str:
    values = json.loads(row.to_json())
    return json.dumps({name: value for name, value in values.items() if name not in names})


def changed(**values: Any) -> str:
    return json.dumps(json.loads(record().to_json()) | values)


@pytest.mark.parametrize(
    "row",
    [
        timed([0.1, 1 / 3], losses=(2.3, 1e-300), steady=True, versions={"numpy": "2.4.6"}),
        record(status="crashed", reason='line 1\nline 2 "quoted" – ü \u2028 \x00', optimizer=None),
    ],
)
def test_a_record_comes_back_from_its_line_unchanged(row: Record) -> None:
    line = row.to_json()
    assert "\n" not in line
    assert from_json(line) == row


def test_a_record_knows_the_cell_it_measured() -> None:
    cell = record(batch_size=17, optimizer="sgd").cell
    assert (cell.implementation, cell.batch_size, cell.optimizer) == ("torch_module", 17, "sgd")


def test_a_field_of_a_later_version_is_left_out() -> None:
    assert from_json(changed(mood_kelvin=3)) == record()


def test_an_absent_measurement_is_none() -> None:
    line = without(timed([0.1], test_accuracy=0.9), "test_accuracy", "cohort", "losses")
    row = from_json(line)
    assert (row.test_accuracy, row.cohort, row.losses) == (None, None, ())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_a_number_is_refused_in_a_record(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        record(final_loss=value).to_json()
    with pytest.raises(ValueError, match="not JSON compliant"):
        record(block_s=(0.1, value)).to_json()


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("Epoch 1/3", "not JSON"),
        ("", "not JSON"),
        ("[1, 2]", "Expected object, got array"),
        ("null", "Expected object, got null"),
        (without(record(), "model"), "missing required field model"),
        ("[" * 100_000, "Expected object, got array"),
        ('{"mood": ' + "[" * 100_000, "nested too deeply"),
        (changed(load_1min=10**400), "load_1min: Number out of range"),
        (changed(seed=10**400), "seed: "),
        ("\ufeff{}", "not JSON"),
        (changed(schema=SCHEMA + 1), f"schema {SCHEMA + 1} is newer than {SCHEMA}"),
        (changed(schema="one"), "schema: Expected int, got str"),
        (changed(block_s=None), "block_s: Expected array, got null"),
        (changed(block_s=["fast"], block_steps=[1]), "block_s[0]: Expected float, got str"),
        (changed(block_s=[0.1]), "not of one length"),
        (changed(block_s=[0.0], block_steps=[1]), "block_s[0]: Expected float > "),
        (changed(throughput_images_per_s=-1), "throughput_images_per_s: Expected float > "),
        (changed(host_peak_mib=0), "host_peak_mib: Expected float > "),
        (changed(batch_size="64"), "batch_size: Expected int, got str"),
        (changed(batch_size=True), "batch_size: Expected int, got bool"),
        (changed(machine=None), "machine: Expected str, got null"),
        (changed(final_loss=float("nan")), "JSON has no NaN"),
        (changed(versions=["2.0"]), "versions: Expected object, got array"),
        (changed(settings={"threads": 2}), "settings[...]: Expected str, got int"),
        (changed(status="fine"), "status: Invalid enum value 'fine'"),
        (changed(workload="play"), "workload: Invalid enum value 'play'"),
        (changed(batch_size=0), "batch_size: Expected int >= 1"),
        (changed(throughput_images_per_s=1e300), "throughput_images_per_s: Expected float < "),
    ],
)
def test_a_line_that_is_no_record_is_named(
    write: Callable[..., Path], line: str, wrong: str
) -> None:
    path = write(record().to_json(), line, record().to_json())
    with pytest.raises(UsageError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}, line 2: ")
    assert wrong in str(error.value)


@pytest.mark.parametrize("kept", [1, 40, -1])
def test_a_last_line_that_was_cut_off_is_left_out(write: Callable[..., Path], kept: int) -> None:
    path = write(record().to_json())
    with path.open("a", encoding="utf-8") as file:
        file.write(record(replicate=1).to_json()[:kept])
    remarks: list[str] = []
    assert read(path, remarks.append) == read(path) == [record()]
    assert remarks == [f"{path}, line 2: cut off, as a killed run leaves it; left out"]


def test_only_a_newline_ends_a_line(write: Callable[..., Path]) -> None:
    row = record(reason="other programs write\u2028this, and\x85this, as it is")
    values = json.dumps(json.loads(row.to_json()), ensure_ascii=False)
    assert read(write(values)) == [row]


def test_an_empty_file_has_no_records(write: Callable[..., Path]) -> None:
    assert read(write()) == []


def test_a_run_folder_stands_for_its_records(write: Callable[..., Path]) -> None:
    path = write(record().to_json())
    assert read(path.parent) == read(path) == [record()]


def test_several_files_are_read_in_the_order_given(write: Callable[..., Path]) -> None:
    path = write(record().to_json())
    assert read_all([path, SCHEMA_1, path]) == [record(), *read(SCHEMA_1), record()]


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_bytes(b"\xff\xfe\x00\n")
    with pytest.raises(UsageError, match=r"records\.jsonl, line 1: not UTF-8 text \(byte 0xff at"):
        read(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"records\.jsonl: there is no such file"):
        read(tmp_path)


def test_a_folder_of_runs_stands_for_them_all(tmp_path: Path) -> None:
    for number, name in enumerate("ab"):
        (tmp_path / name).mkdir()
        line = record(replicate=number).to_json()
        (tmp_path / name / "records.jsonl").write_text(f"{line}\n", encoding="utf-8")
    (tmp_path / "c").mkdir()
    assert read_all([tmp_path]) == [record(replicate=0), record(replicate=1)]


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("records-v*.jsonl")), ids=lambda p: p.stem)
def test_every_version_of_records_stays_readable(path: Path) -> None:
    rows = read(path)
    assert len(rows) > 1
    for line, row in zip(path.read_text(encoding="utf-8").splitlines(), rows, strict=True):
        assert json.loads(row.to_json()).items() >= json.loads(line).items()
        assert row.workload == "infer" or row.recipe == "constant"


def test_schema_1_stays_readable() -> None:
    ours, theirs, crashed = read(SCHEMA_1)
    assert (ours.schema, ours.cell.label) == (1, "torch_module eager")
    assert (ours.throughput_images_per_s, ours.block_s) == (512.0, (0.25, 0.25))
    assert ours.losses == (2.5, 2.0, 1.5, 1.25, 1.0, 0.75)
    assert ours.versions["torch"] == "2.15.0"
    assert theirs.cell.contest == ours.cell.contest
    assert (crashed.status, crashed.throughput_images_per_s) == ("crashed", None)
    assert crashed.reason == "exit code -11 (segmentation fault) in warm_up"
