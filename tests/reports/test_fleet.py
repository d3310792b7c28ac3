"""The report of very many records or machines: the same figures, in bounded text and memory."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from bench.analysis.fleet import Fleet
from bench.analysis.ranking import contests_of
from bench.cli import fleet
from bench.cli.main import main
from bench.records import SEQUENCES, Record
from bench.reports.fleet import tally
from bench.reports.fleet.markdown import FleetReport, render
from bench.reports.text import rendered
from builders import HOSTILE, JAX, SPEEDS, processes, run, table_cells
from builders import section as part
from published import edit, elsewhere, published

Told = tuple[Path, str, list[str]]  # folder, report, warnings
Ran = Callable[..., Told]


@pytest.fixture
def ran(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Ran:
    """Report runs into the folder of this name."""

    def run(name: str, *words: object) -> Told:
        out = tmp_path / name
        assert main(["report", *map(str, words), "--out", str(out)]) == 0
        told = capsys.readouterr()
        assert told.out == (out / "report.md").read_text(encoding="utf-8")
        return out, told.out, told.err.splitlines()

    return run


def rows(file: Path) -> list[dict[str, str]]:
    """The rows of a CSV file but for lists of samples, in an order of their own."""
    with file.open(encoding="utf-8", newline="") as text:
        found = [
            {k: v for k, v in row.items() if k not in SEQUENCES} for row in csv.DictReader(text)
        ]
    return sorted(found, key=lambda row: json.dumps(row, sort_keys=True))


def shard(source: Path, folder: Path, number: int) -> Path:
    """Every second row of a run, as a shard of two."""
    made = elsewhere(source, folder, machine="pool", chip="Pool CPU")
    run = json.loads((made / "run.json").read_text(encoding="utf-8"))
    run["shard"] = {"number": number, "of": 2, "plan": "c" * 64}
    (made / "run.json").write_text(json.dumps(run), encoding="utf-8")
    lines = (made / "records.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (made / "records.jsonl").write_text("".join(lines[number - 1 :: 2]), encoding="utf-8")
    return made


def test_a_fleet_has_the_figures_of_a_whole_report_to_the_last_digit(
    ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, again = published(tmp_path / "one"), published(tmp_path / "again")
    contrary = published(tmp_path / "contrary")
    edit(contrary, lambda row: row.update(first_step_s=1e6))
    namesake = elsewhere(one, tmp_path / "other", 1.1)
    run = json.loads((namesake / "run.json").read_text(encoding="utf-8"))
    (namesake / "run.json").write_text(
        json.dumps(run | {"run_id": "20261123-004002-quick"}), encoding="utf-8"
    )
    edit(namesake, lambda row: row.update(run_id="20261123-004002-quick"))
    shards = [shard(one, tmp_path / f"part-{number}", number) for number in (2, 1)]
    broken = elsewhere(one, tmp_path / "failed", change=fail)
    runs = (one, again, contrary, namesake, *shards, broken)
    whole, _, expected = ran("whole", *runs)
    monkeypatch.setattr(fleet, "LARGE_MIB", 0.0)
    out, text, warnings = ran("fleet", *runs)
    assert text.startswith("# 4 runs\n")
    assert warnings == expected
    assert len(expected) == 3
    for name in ("summary.csv", "results.csv"):
        assert rows(out / name) == rows(whole / name)
        assert len(rows(out / name)) > 10
    with (out / "results.csv").open(encoding="utf-8", newline="") as file:
        assert next(csv.DictReader(file))["block_s"].endswith(" values, all in records.jsonl")
    reasons = part(text, "Not ranked")
    assert "ran out" in table_cells(reasons)


def fail(row: Any) -> None:
    if row["replicate"] == 0:
        row |= {"status": "oom", "reason": "ran out", "throughput_images_per_s": None}


def test_of_many_machines_the_one_that_is_unlike_is_named(
    ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = published(tmp_path / "one")
    runs = [
        elsewhere(one, tmp_path / f"n{n}", 0.8 if n == 4 else 1 + n / 1000, f"n{n}")
        for n in range(8)
    ]
    runs += [elsewhere(one, tmp_path / "fast", 2.0, "fast", "Fast CPU", versions)]
    monkeypatch.setattr(fleet, "MANY", len(runs) - 1)
    _, text, _ = ran("out", *runs)
    assert "n4 (Other CPU) | 0.798 | " in part(text, "Nodes")
    assert part(text, "Nodes").count("| unlike |") == 1
    assert "1 node of 8" in part(text, "Nodes")
    matrix = part(text, "Hardware")
    assert "- Other CPU, cpu: 8 nodes\n- Fast CPU, cpu: 1 node\n" in matrix
    assert matrix.count(" 2.00× |\n") == matrix.count("\n| ") - 2 == 6
    assert "versions differ: numpy" in text.split("\n## ")[0]

    _, turned, _ = ran("turned", *runs, "--baseline", "fast")
    assert "- Fast CPU, cpu: 1 node\n- Other CPU, cpu: 8 nodes\n" in turned
    monkeypatch.setattr(fleet, "MANY", len(runs))
    _, small, _ = ran("small", *runs)
    assert "## Machine and versions" in small


def versions(row: Any) -> None:
    row["versions"] = row["versions"] | {"numpy": "0.1"}


def test_a_table_ends_and_says_how_many_rows_it_leaves_to_the_files(
    ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "LARGE_MIB", 0.0)
    one = published(tmp_path / "one")
    _, whole, _ = ran("whole", one)
    assert "more rows" not in whole
    monkeypatch.setattr("bench.reports.fleet.markdown.SHOWN", 2)
    _, text, _ = ran("out", one)
    matrix = part(text, "Hardware")
    assert "more rows are in `summary.csv`." in matrix
    assert len([line for line in matrix.splitlines() if line.startswith("| ")]) == 2 + 2


def test_a_line_that_is_no_record_is_named_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "LARGE_MIB", 0.0)
    one, out = published(tmp_path / "one"), tmp_path / "out"
    file = one / "records.jsonl"
    whole = file.read_text(encoding="utf-8")
    for damage in ({"block_s": "fast"}, {"status": 1}):
        lines = whole.splitlines()
        lines[3] = json.dumps(json.loads(lines[3]) | damage)
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        assert main(["report", str(one), "--out", str(out)]) == 2
        [said] = capsys.readouterr().err.splitlines()
        assert f"{file}, line 4: {next(iter(damage))}: " in said
        assert not out.exists()
        assert main(["report", str(one)]) == 2
        assert sorted(path.name for path in one.iterdir()) == ["records.jsonl", "run.json"]
        capsys.readouterr()


def test_so_many_records_are_exported_as_parquet_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "LARGE_MIB", 0.0)
    one, out = published(tmp_path / "one"), tmp_path / "out.parquet"
    words = ["report", str(one), str(published(tmp_path / "again")), "--out", str(out)]
    assert main([*words, "--export", "parquet"]) == 0
    with duckdb.connect() as database:
        query = f"select count(*), sum(len(block_s)) from '{out}'"
        [found] = database.sql(query).fetchall()
    lines = [json.loads(line) for line in (one / "records.jsonl").read_text().splitlines()]
    assert found == (len(lines), sum(len(line["block_s"]) for line in lines))
    capsys.readouterr()
    assert main([*words, "--export", "bencher"]) == 2
    assert "choose --export parquet" in capsys.readouterr().err


def measured(machine: str, factor: float, **changes: Any) -> list[Record]:
    own = {"machine": machine, "run_id": machine, **changes}
    return processes([s / factor for s in SPEEDS], **own)


def test_a_cell_that_is_slow_on_one_node_alone_is_told_from_a_slow_node() -> None:
    found = Fleet()
    factors = {f"node{n}": 1 + n / 2000 for n in range(9)} | {"slow": 0.5}
    for machine, factor in factors.items():
        odd = 0.7 if machine == "node3" else 1.0
        for size in (8, 16, 32):
            rows = measured(machine, factor, batch_size=size)
            rows += measured(machine, factor * (odd if size == 16 else 1.0), batch_size=size, **JAX)
            for contest in contests_of(rows):
                found.add(contest)
    nodes, cells = found.compared()
    assert [(node.on.machine, node.cells) for node in nodes if node.unlike] == [("slow", 6)]
    assert nodes[0].factor == pytest.approx(0.5, rel=0.01)
    [cell] = cells
    assert (cell.on.machine, cell.row[0].batch_size) == ("node3", 16)
    assert cell.row[1] == "keras_functional[jax] compiled"
    assert cell.factor == pytest.approx(0.7, rel=0.01)
    for (shown, _), spreads in found.matrix(100):
        [spread] = spreads.values()
        assert spread.nodes == 10
        assert spread.low < spread.median < spread.high
        usual = shown.batch_size * 10 / 1.0
        assert spread.median == pytest.approx(usual, rel=0.02)


def test_texts_without_end_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "MOST", 3)
    counted = tally.Tally()
    rows = [
        row
        for n in range(9)
        for row in processes([1.0], batch_size=n + 1, status="crashed", reason=f"at {n}")
    ]
    for contest in contests_of(rows):
        counted.add(contest)
    assert counted.failed[tally.OTHERS] == 6
    assert counted.failed.total() == 9
    assert (counted.records, counted.ok) == (9, 0)


def test_text_from_outside_stays_text() -> None:
    counted = tally.Tally()
    rows = [
        row
        for n in range(4)
        for row in measured(f"{HOSTILE} {n}", 1.0 + n, processor=HOSTILE, versions={HOSTILE: "1"})
    ]
    rows += processes([1.0], status="crashed", reason=HOSTILE, mode=HOSTILE)
    for contest in contests_of(rows):
        counted.add(contest)
    text = render(FleetReport(counted, [run(run_id=HOSTILE, command=HOSTILE)], [HOSTILE]))
    page = rendered(text)
    assert "<script" not in page
    assert "<code>code</code>" not in page
    assert " ".join(HOSTILE.split()) in table_cells(part(text, "Not ranked"))
