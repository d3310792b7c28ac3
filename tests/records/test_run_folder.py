"""What a run leaves on disk, and what is made of it after a kill."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

import bench
from bench.cells import Cell
from bench.cli import main as cli
from bench.errors import UsageError
from bench.records import Record, Run
from bench.records.folder import RunFolder, check_free
from bench.reports.report import Report
from bench.reports.write import REPORTS, write_reports
from bench.validation import convert

FACTS: dict[str, Any] = {
    "run_id": "r1",
    "utc": "2025-01-01T00:00:00+00:00",
    "resnet_bench": "0.1.0",
    "command": "resnet-bench run",
    "options": {"replicates": 1, "seed": 0},
    "machine": {
        "machine": "here",
        "cpu": "a CPU",
        "cpu_flags": [],
        "physical_cores": 2,
        "logical_cores": 4,
        "memory_gib": 8.0,
        "gpus": [],
        "os": "Linux",
        "python": "3.11",
    },
}
RUN = convert(FACTS, Run)


@pytest.fixture
def make_record(make_cell: Callable[..., Cell]) -> Callable[..., Record]:
    def make(**changes: Any) -> Record:
        cell = make_cell()
        values = {field.name: getattr(cell, field.name) for field in fields(Cell)} | {
            "run_id": "r1",
            "utc": "2025-01-01T00:00:00+00:00",
            "machine": "here",
            "processor": "a CPU",
            "framework": "fake",
            "replicate": 0,
            "status": "ok",
        }
        return Record(**values | changes)

    return make


MakeRecord = Callable[..., Record]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "results" / "r1", RUN)


def test_a_folder_is_reopened_as_it_was_made(folder: RunFolder) -> None:
    again = RunFolder.open(folder.path)
    assert again.run == RUN
    assert again.records() == []


def test_what_is_noted_of_a_run_is_kept_beside_what_was_asked(folder: RunFolder) -> None:
    folder.note(peaks={"cpu": {}})
    assert folder.run == RunFolder.open(folder.path).run == replace(RUN, peaks={"cpu": {}})


def test_records_come_back_in_the_order_of_their_coming(
    folder: RunFolder, make_record: MakeRecord
) -> None:
    rows = [make_record(replicate=index, losses=(2.5, 1.25)) for index in range(3)]
    for number, row in enumerate(rows, start=1):
        folder.append(row)
        lines = (folder.path / "records.jsonl").read_text(encoding="utf-8").splitlines()
        assert [json.loads(line)["replicate"] for line in lines] == list(range(number))
    assert RunFolder.open(folder.path).records() == rows


def test_an_empty_folder_may_become_a_run(tmp_path: Path) -> None:
    assert RunFolder.create(tmp_path, RUN).run == RUN


@pytest.mark.parametrize(
    ("obstruct", "out", "reason"),
    [
        (lambda at: RunFolder.create(at / "x", RUN), "x", "already holds a run"),
        (lambda at: (at / "x").write_text("mine"), "x", "is not an empty folder"),
        (lambda at: (at / "x").write_text("mine"), "x/y/z", "cannot be written"),
        (lambda at: [(at / "x" / "mine").mkdir(parents=True)], "x", "is not an empty folder"),
        (lambda at: None, "n" * 300, "cannot be written"),
    ],
    ids=["run", "file", "under-file", "other-files", "name-too-long"],
)
def test_a_place_that_cannot_be_had_is_refused_and_left_alone(
    obstruct: Callable[[Path], object], out: str, reason: str, tmp_path: Path
) -> None:
    obstruct(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    for refuse in (check_free, lambda path: RunFolder.create(path, RUN)):
        with pytest.raises(UsageError, match=reason) as caught:
            refuse(tmp_path / out)
        assert str(tmp_path / out) in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_place_that_the_system_refuses_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--out /proc/r1: cannot be written"):
        RunFolder.create(Path("/proc/r1"), RUN)


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no run"):
        RunFolder.open(tmp_path)
    with pytest.raises(UsageError, match="holds no run"):
        RunFolder.open(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"\xff\xfe", b"null", b"3", b"[]", b"[{}]", b'"run"', b"{}"),
        json.dumps(FACTS | {"options": None}).encode(),
        json.dumps(FACTS | {"machine": "here"}).encode(),
        *(
            json.dumps({k: v for k, v in FACTS.items() if k != gone}).encode()
            for gone in ("run_id", "command", "options", "machine")
        ),
    ],
)
def test_a_damaged_or_incomplete_run_json_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(UsageError) as caught:
        RunFolder.open(tmp_path)
    assert str(tmp_path / "run.json") in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        (
            {"machine": FACTS["machine"] | {"gpus": [{"name": "A"}]}},
            "machine.gpus[0]: Object missing required field memory_gib",
        ),
        ({"machine": FACTS["machine"] | {"cpu": None}}, "machine.cpu: Expected str, got null"),
        ({"machine": FACTS["machine"] | {"gpus": {}}}, "machine.gpus: Expected array, got object"),
        ({"utc": 3}, "utc: Expected str | null, got int"),
        ({"noise_floor": {"cpu": 0.01}}, "noise_floor[...]: Expected object, got float"),
        (
            {"noise_floor": {"cpu": {"value": 0.1, "log_ratios": ["x"]}}},
            "noise_floor[...].log_ratios[0]: Expected float, got str",
        ),
        (
            {"peaks": {"cpu": {"2/fp32": {"library": "x"}}}},
            "peaks[...][...]: Object missing required field gflop_per_s",
        ),
        (
            {"peaks": {"cpu": {"2/fp32": {"gflop_per_s": 0}}}},
            "peaks[...][...].gflop_per_s: Expected float > ",
        ),
        (
            {"options": {"max_replicates": True}},
            "options.max_replicates: Expected int | null, got bool",
        ),
    ],
)
def test_a_run_json_of_another_shape_is_refused_with_the_place(
    changes: dict[str, Any], wrong: str, tmp_path: Path
) -> None:
    (tmp_path / "run.json").write_text(json.dumps(FACTS | changes))
    with pytest.raises(UsageError) as caught:
        RunFolder.open(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'run.json'}: ")
    assert wrong in str(caught.value)


def test_a_line_cut_off_by_a_kill_is_dropped_before_more_is_written(
    folder: RunFolder, make_record: MakeRecord
) -> None:
    folder.append(make_record(replicate=0))
    with (folder.path / "records.jsonl").open("a", encoding="utf-8") as file:
        file.write(make_record(replicate=1).to_json()[:100])
    assert [row.replicate for row in folder.records()] == [0]
    folder.drop_cut_off_line()
    folder.append(make_record(replicate=2))
    assert [row.replicate for row in folder.records()] == [0, 2]


@pytest.mark.parametrize("content", [None, "", '{"only": "half a li'])
def test_a_run_may_have_been_cut_off_before_its_first_record(
    content: str | None, folder: RunFolder, make_record: MakeRecord
) -> None:
    if content is not None:
        (folder.path / "records.jsonl").write_text(content, encoding="utf-8")
    folder.drop_cut_off_line()
    assert folder.records() == []
    folder.append(make_record())
    assert len(folder.records()) == 1


def test_what_could_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    machine = replace(RUN.machine, machine="half a \ud800")
    with pytest.raises(UsageError, match="run"):
        RunFolder.create(tmp_path / "run", replace(RUN, machine=machine))
    assert not (tmp_path / "run" / "run.json").exists()


def test_derived_files_are_replaced_as_a_whole(folder: RunFolder, make_record: MakeRecord) -> None:
    folder.append(make_record(replicate=0))
    write_reports(folder.path, Report(folder.records(), [folder.run]))
    report = folder.path / "results.csv"
    with report.open(encoding="utf-8") as reader:
        folder.append(make_record(replicate=1))
        write_reports(folder.path, Report(folder.records(), [folder.run]))
        assert len(reader.readlines()) == 2
    assert len(report.read_text(encoding="utf-8").splitlines()) == 3
    names = {path.name for path in folder.path.iterdir()}
    assert names == {
        "run.json",
        "records.jsonl",
        "logs",
        *REPORTS,
        "report.html",
    }  # nothing is ranked


def test_reports_can_be_written_without_records(folder: RunFolder) -> None:
    write_reports(folder.path, Report([], [folder.run]))
    folder.drop_empty_logs()
    assert {path.name for path in folder.path.iterdir()} == {"run.json", *REPORTS}


def test_reports_of_several_runs_go_together(tmp_path: Path, make_record: MakeRecord) -> None:
    rows = [make_record(machine="here"), make_record(machine="there", run_id="r2")]
    write_reports(tmp_path, Report(rows, [RUN, replace(RUN, run_id="r2")]))
    assert len((tmp_path / "results.csv").read_text(encoding="utf-8").splitlines()) == 3


def test_logs_are_kept_where_a_worker_said_something(folder: RunFolder) -> None:
    (folder.logs / "silent.log").touch()
    (folder.logs / "loud.log").write_text("a warning")
    folder.drop_empty_logs()
    assert [log.name for log in folder.logs.iterdir()] == ["loud.log"]
    (folder.logs / "loud.log").write_text("")
    folder.drop_empty_logs()
    assert not folder.logs.exists()
    folder.drop_empty_logs()


def test_who_reads_a_run_that_goes_on_leaves_the_logs_of_its_workers_alone(
    folder: RunFolder, make_record: MakeRecord
) -> None:
    folder.append(make_record())
    (folder.logs / "silent.log").touch()
    assert cli.main(["report", str(folder.path)]) == 0
    assert (folder.logs / "silent.log").exists()


def test_a_run_names_the_commit_of_the_code_only_where_that_is_tracked(tmp_path: Path) -> None:
    package = Path(bench.__file__).parent
    shutil.copytree(package, tmp_path / "bench", ignore=shutil.ignore_patterns("__pycache__"))

    def git(*words: str) -> str:
        command = ["git", "-c", "user.name=A", "-c", "user.email=a@b.c", *words]
        done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def told() -> str:
        program = "from bench.run.here import commit; print(commit())"
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init")
    git("commit", "--allow-empty", "--message", "of somebody else's")
    assert told() == "None"
    git("add", "bench")
    git("commit", "--message", "ours")
    assert told() == git("rev-parse", "--short=12", "HEAD")
    (tmp_path / "bench" / "cli" / "doctor.py").write_text("")
    assert told() == git("rev-parse", "--short=12", "HEAD") + "-dirty"
