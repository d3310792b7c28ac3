"""What ran on a busy machine is measured again, by whole replicates of a contest, and both count as
rows: decided on simulated records, then by runs beside a process that computes.
"""

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.analysis.attempts import counted, disturbed
from bench.analysis.fitness import findings
from bench.analysis.ranking import contests_of
from bench.analysis.statistics import speed_ratios
from bench.parent.measurement import Task
from bench.records import Record
from bench.records.merging import merge
from bench.records.reading import read
from bench.run.stopping import Round, again, rounds
from builders import JAX, TENSORFLOW, record, report_md, run, section, timed


def pair(
    replicate: int = 0, attempt: int = 0, busy: tuple[bool, bool] = (False, False), **changes: Any
) -> list[Record]:
    """Two cells of a contest, measured side by side."""
    common: dict[str, Any] = {
        "replicate": replicate,
        "attempt": attempt,
        "cohort": f"{replicate} {attempt}",
    }
    common |= {"block_own_cores": (1.0,) * 3, "block_other_cores": (0.5,) * 3}
    cells: tuple[dict[str, Any], ...] = ({}, JAX)
    return [
        timed([1.0] * 3, busy=state, **{**common, **cell, **changes})
        for state, cell in zip(busy, cells, strict=True)
    ]


def wanted(rows: list[Record], most: int = 2) -> dict[int, set[tuple[str, int]]]:
    found = disturbed(rows, most)
    return {n: {(cell.backend, index) for cell, index in tasks} for n, tasks in found.items()}


def kept(rows: list[Record]) -> list[tuple[str, int, int]]:
    return [(row.backend, row.replicate, row.attempt) for row in counted(rows)]


BUSY = (True, False)
BOTH = {("torch", 1), ("jax", 1)}


def test_one_busy_cell_brings_its_whole_contest_again_and_no_other_replicate_or_contest() -> None:
    rows = [*pair(0), *pair(1, busy=BUSY), *pair(1, batch_size=32), *pair(2)]
    assert wanted(rows) == {1: BOTH}
    assert wanted(rows, most=0) == {}


def test_it_ends_when_an_attempt_was_undisturbed_or_after_so_many() -> None:
    first = pair(1, busy=BUSY)
    assert wanted([*first, *pair(1, 1)]) == {}
    assert wanted([*first, *pair(1, 1, busy=BUSY)]) == {2: BOTH}
    assert wanted([*first, *pair(1, 1, busy=BUSY), *pair(1, 2, busy=BUSY)]) == {}


def test_what_nobody_can_tell_is_not_measured_again() -> None:
    assert wanted([replace(row, busy=None) for row in pair()]) == {}


def test_an_attempt_that_a_kill_cut_short_is_none_and_is_made_anew_as_a_whole() -> None:
    rows = [*pair(1, busy=BUSY), pair(1, 1)[0]]
    assert wanted(rows, most=1) == {2: BOTH}
    assert kept(rows) == [("torch", 1, 0), ("jax", 1, 0)]  # side by side, though one was busy
    assert wanted([*rows, *pair(1, 2)], most=1) == {}
    assert kept([*rows, *pair(1, 2)]) == [("torch", 1, 2), ("jax", 1, 2)]


def test_training_with_input_is_measured_again_with_that_without() -> None:
    plain, fed = timed([1.0], busy=True), timed([1.0], workload="train+input", input="numpy")
    assert {cell.workload for cell, _ in disturbed([plain, fed], 1)[1]} == {"train", "train+input"}


def test_the_least_busy_attempt_counts_for_all_cells_so_that_they_stay_paired() -> None:
    rows = [*pair(0, busy=(True, True)), *pair(0, 1, busy=(False, True)), *pair(0, 2, busy=BUSY)]
    assert kept(rows) == [("torch", 0, 1), ("jax", 0, 1)]
    chosen = counted(rows)
    assert len(speed_ratios(chosen[:1], chosen[1:])) == 1
    assert counted(chosen) == chosen


def test_speed_plays_no_part_in_which_attempt_counts() -> None:
    slow = [replace(row, block_s=(9.0,) * 3) for row in pair(0, 1)]
    assert kept([*pair(0, busy=BUSY), *slow]) == [("torch", 0, 1), ("jax", 0, 1)]


def test_a_cell_that_fails_is_not_measured_again_and_its_failure_counts() -> None:
    first, crash = pair(0, busy=BUSY), record(status="crashed", reason="why", attempt=1, **JAX)
    rows = [*first, pair(0, 1, busy=BUSY)[0], crash]
    assert wanted(rows) == {2: {("torch", 0)}}
    assert kept(rows) == [("torch", 0, 0), ("jax", 0, 0), ("jax", 0, 1)]
    fallen = record(status="oom", reason="why", **TENSORFLOW)
    assert wanted([*first, fallen]) == {1: {("torch", 0), ("jax", 0)}}


def go(described: Any, first: list[Record], later: Callable[[int], list[Record]]) -> list[Round]:
    """The rounds of a simulated run, whose further attempts have the records that `later` says."""
    rows: list[Record] = []
    seen = []
    for each in rounds(described, [r.cell for r in first], lambda: rows, lambda line: None):
        seen.append(each)
        made = later(each.attempt) if each.attempt else first
        rows.extend(row for row in made if (row.cell, row.replicate) in set(each.tasks))
    return seen


def test_a_simulated_run_measures_again_after_its_round() -> None:
    described = run(options={"replicates": 1, "remeasure_busy": 3})
    seen = go(described, pair(busy=BUSY), lambda n: pair(0, n, busy=(n < 2, False)))
    assert [each.attempt for each in seen] == [0, 1, 2]
    untouched = run(options={"replicates": 1})
    assert len(go(untouched, pair(busy=BUSY), lambda n: [])) == 1


def test_where_nothing_is_written_any_more_it_ends() -> None:
    described = run(options={"replicates": 1, "remeasure_busy": 3})
    assert len(go(described, pair(busy=BUSY), lambda n: [])) == 2


def test_only_what_fits_is_measured_again() -> None:
    described = run(options={"remeasure_busy": 1})
    rows = [*pair(0, busy=BUSY), *pair(1, busy=BUSY)]
    told: list[str] = []

    def first(groups: Any) -> list[Task]:
        return list(groups[0])

    (one, *_) = again(described, lambda: rows, told.append, first)
    assert {index for _, index in one.tasks} == {0}
    assert told[0] == "the machine was busy: 2 processes to be measured again"
    assert list(again(described, lambda: rows, told.append, lambda groups: [])) == []


def test_reports_say_what_was_measured_again_and_rank_by_what_counts() -> None:
    rows = [*pair(0), *pair(1, busy=BUSY), *pair(1, 1)]
    rows += [*pair(2, busy=BUSY), *pair(2, 1, busy=BUSY)]
    text = report_md(*rows)
    assert "torch_module eager (1 of 3 processes; 2 measured again; others had" in text
    told = "torch_module eager (2 of 3 processes), keras_functional[jax] compiled (2 of 3"
    assert f"**Measured again, since the machine was busy**: {told} processes)." in text
    assert "1 of 3 busy" in section(text, "Around the blocks")
    (contest,) = contests_of(rows)
    assert {len(s.records) for s in contest.summaries} == {3}
    assert [len(s.set_aside) for s in contest.summaries] == [2, 2]
    quiet = [each for each in findings(run(), rows) if each.name == "quiet"]
    assert quiet[0].found.startswith("1 of 6 rows")


def test_attempts_are_no_contradiction_where_runs_are_merged() -> None:
    rows = [*pair(0, busy=BUSY), *pair(0, 1)]
    merged = merge([(run(), rows), (run(), [replace(row) for row in rows])])
    assert merged.records == rows
    assert merged.remarks == ["4 rows of first were given more than once, and count once"]


DISTURBED = """
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.calls, self.first = 0, not (HERE / "begun").exists()
        (HERE / "begun").touch()

    def train(self, steps):
        self.calls += 1
        if self.first and self.calls > 2:  # a timed block, beside a process that computes
            import psutil
            spin = subprocess.Popen([sys.executable, "-c", "while True: pass"], process_group=0)
            other = psutil.Process(spin.pid)
            until_s = time.monotonic() + 0.15
            while time.monotonic() < until_s or sum(other.cpu_times()[:2]) < 0.1:
                time.sleep(0.01)
            other.kill()
            spin.poll()  # no child that was waited for: its time is not the worker's
        return super().train(steps)
"""
WORDS = ("--no-certify", "--workload", "train", "--optimizer", "sgd", "--steps", 10)


def rows_of(out: Path) -> list[tuple[str, int, int, bool | None]]:
    return [(Path(r.implementation).stem, r.replicate, r.attempt, r.busy) for r in read(out)]


@pytest.mark.long
def test_a_run_beside_a_busy_process_measures_again_and_goes_on_where_it_was_killed(
    faulty: Callable[[str, str], Path],
    fake: Path,
    resnet_bench: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
) -> None:
    out, disturbed_impl = tmp_path / "run", faulty("disturbed", DISTURBED)
    asked = ("--impl", disturbed_impl, fake, *WORDS, "--replicates", 1, "--remeasure-busy", 1)
    done = resnet_bench("run", *asked, "--out", out)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the machine was busy: 2 processes to be measured again" in done.stdout
    names = {"disturbed", "fake_implementation"}
    assert {row[:3] for row in rows_of(out)} == {(name, 0, n) for name in names for n in (0, 1)}
    assert ("disturbed", 0, 0, True) in rows_of(out)
    assert "Measured again, since the machine was busy" in (out / "report.md").read_text("utf-8")
    steps = {(row.attempt, len(row.losses), row.losses) for row in read(out)}
    assert len(steps) == 2  # the same steps from the same weights
    assert {length for _, length, _ in steps} == {10}

    records = out / "records.jsonl"
    lines = records.read_bytes().splitlines(keepends=True)
    records.write_bytes(b"".join(lines[:3]) + lines[3][:100])  # killed in the midst of it
    done = resnet_bench("run", "--resume", out)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 to measure" in done.stdout
    assert "the machine was busy: 2 processes to be measured again" in done.stdout
    assert [row[2] for row in rows_of(out)] == [0, 0, 1, 2, 2]
    assert {row.attempt for row in counted(read(out))} == {2}
    before = records.read_bytes()
    assert resnet_bench("run", "--resume", out).returncode == 0
    assert records.read_bytes() == before
