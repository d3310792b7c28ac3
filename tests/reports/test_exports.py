"""Exports, each read by the program that it is for, or by the rules that this has published."""

import json
import subprocess
import sys
import sysconfig
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.cli.main import main
from bench.cli.report import EXPORTS as CHOICES
from bench.records import FIELDS, Record
from bench.records.folder import RunFolder
from bench.reports.exports import EXPORTS, export
from builders import JAX, SPEEDS, processes, record, report, run

SLOWER = [2 * seconds for seconds in SPEEDS]
ROWS = [
    *processes(SPEEDS, step_ms_median=100.0, host_peak_mib=800.0, losses=(2.5, 0.5)),
    *processes(SLOWER, **JAX, versions={"jax": "0.7"}),
    record(implementation="flax_nnx", status="crashed", reason="signal 11"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = RunFolder.create(tmp_path / "run", run(commit="8eec895f1c2a"))
    for row in ROWS:
        made.append(row)
    return made.path


def exported(name: str, folder: Path, place: Path) -> Path:
    assert main(["report", str(folder), "--export", name, "--out", str(place)]) == 0
    return place


class Metric(msgspec.Struct, forbid_unknown_fields=True):
    """What bencher.dev/bmf.json says of a metric."""

    value: float
    lower_value: float | None = None
    upper_value: float | None = None


def test_bencher_gets_its_metric_format(folder: Path, tmp_path: Path) -> None:
    content = exported("bencher", folder, tmp_path / "out.json").read_bytes()
    found = msgspec.json.decode(content, type=dict[str, dict[str, Metric]])
    assert len(found) == 2  # nothing of what crashed
    [torch] = [measures for name, measures in found.items() if name.startswith("torch_module")]
    assert torch["throughput"].value == pytest.approx(640, rel=0.01)
    assert torch["throughput"].lower_value < 640 < torch["throughput"].upper_value  # type: ignore[operator]
    assert torch["latency"] == Metric(100e6)  # nanoseconds, Bencher's own unit
    assert torch["host-peak-mib"] == Metric(800.0)
    assert all(len(name) <= 1024 for name in found)


def test_the_github_action_gets_what_it_parses(folder: Path, tmp_path: Path) -> None:
    content = exported("github-action-benchmark", folder, tmp_path / "out.json").read_bytes()

    class Entry(msgspec.Struct, forbid_unknown_fields=True):
        name: str
        unit: str
        value: float
        range: str | None = None
        extra: str | None = None

    found = msgspec.json.decode(content, type=list[Entry])
    assert [entry.unit for entry in found] == ["images/s"] * 2
    assert len({entry.name for entry in found}) == 2
    for entry in found:  # `± 12.5`, of which the action takes the number
        assert entry.range is not None
        sign, half = entry.range.split(" ")
        assert sign == "±"
        assert 0 < float(half) < 0.1 * entry.value


def test_pytest_benchmark_compares_two_exports(folder: Path, tmp_path: Path) -> None:
    then = exported("pytest-benchmark", folder, tmp_path / "then.json")
    now = exported("pytest-benchmark", folder, tmp_path / "now.json")
    program = Path(sysconfig.get_path("scripts")) / "pytest-benchmark"
    words = (program, "compare", then, now, "--columns=median,rounds")
    finished = subprocess.run(words, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    shown = [line.split() for line in finished.stdout.splitlines() if "torch_module" in line]
    assert [row[-1] for row in shown] == ["5", "5"]
    assert {row[3] for row in shown} == {"100.0000"}  # ms per step


def test_duckdb_reads_every_field_of_every_record(folder: Path, tmp_path: Path) -> None:
    import duckdb

    file = exported("parquet", folder, tmp_path / "out.parquet")
    with duckdb.connect() as database:
        table = database.read_parquet(str(file))
        assert tuple(table.columns) == FIELDS
        rows = table.fetchall()
    assert [Record(**read(dict(zip(FIELDS, row, strict=True)))) for row in rows] == ROWS


def read(row: dict[str, Any]) -> dict[str, Any]:
    """A row of DuckDB with lists as the tuples that a Record has."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}


def test_columns_have_types_though_all_of_them_are_null(tmp_path: Path) -> None:
    import duckdb

    file = export(report(record(status="crashed", reason="why")), "parquet", tmp_path / "x.parquet")
    with duckdb.connect() as database:
        table = database.read_parquet(str(file))
        types = dict(zip(table.columns, map(str, table.types), strict=True))
    assert types["throughput_images_per_s"] == "DOUBLE"
    assert types["block_steps"] == "BIGINT[]"
    assert types["steady"] == "BOOLEAN"
    assert types["settings"] == "MAP(VARCHAR, VARCHAR)"
    assert len(types) == len(fields(Record))


@pytest.mark.parametrize("name", EXPORTS)
def test_a_folder_gets_a_file_of_a_name_of_its_own(name: str, folder: Path, tmp_path: Path) -> None:
    exported(name, folder, tmp_path)
    assert (tmp_path / EXPORTS[name][0]).stat().st_size > 100
    assert not (folder / "report.md").exists()


def test_the_command_line_knows_all_exports() -> None:
    assert tuple(EXPORTS) == CHOICES


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--export", "csv", "--out", "x"), "invalid choice: 'csv'"),
        (("--export", "bencher"), "--export bencher: give the file to write by --out"),
        (("--export", "bencher", "--out", "run/run.json/x"), "run/run.json/x: cannot be written"),
        (("--export", "parquet", "--out", "nowhere/x"), "nowhere/x: cannot be written"),
    ],
)
def test_a_mistake_is_one_line(
    words: tuple[str, ...],
    told: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder.parent)
    assert main(["report", str(folder), *words]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert told in line


@pytest.mark.parametrize(
    ("name", "module"), [("parquet", "duckdb"), ("pytest-benchmark", "pytest_benchmark.stats")]
)
def test_what_is_not_installed_is_named_with_its_remedy(
    name: str,
    module: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["report", str(folder), "--export", name, "--out", str(tmp_path / "x")]) == 2
    assert "pip install 'resnet-bench[" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_an_export_repeats_to_the_byte(folder: Path, tmp_path: Path) -> None:
    for name in EXPORTS:
        first = exported(name, folder, tmp_path / "a").read_bytes()
        assert exported(name, folder, tmp_path / "b").read_bytes() == first
    assert json.loads((tmp_path / "a").read_bytes())["version"].startswith("resnet-bench")
