"""What ran on a busy machine is measured again, by whole replicates of a contest, and both count as
rows: decided on simulated records, then by runs beside a process that computes.
"""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
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
    assert "PyTorch eager (1 of 3 processes; 2 measured again; others had" in text
    told = "PyTorch eager (2 of 3 processes), Keras functional on JAX (2 of 3"
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


# The first process of it computes beside another in its timed blocks. Each waits to be killed where
# the run has as many rows as the file `hold` says.
DISTURBED = """
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.calls, self.first = 0, not (HERE / "begun").exists()
        (HERE / "begun").touch()

    def hold(self):
        hold, records = HERE / "hold", HERE.parent / "run" / "records.jsonl"
        while records.exists() and hold.exists():
            if records.read_bytes().count(b"\\n") != int(hold.read_text()):
                return
            (HERE / "held").touch()
            time.sleep(0.01)

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
        losses = super().train(steps)
        if self.calls > 2:
            self.hold()
        return losses

    def predict(self, images):
        self.hold()
        return super().predict(images)
"""
WORDS = ("--no-certify", "--workload", "train", "--optimizer", "sgd", "--steps", 10)


def rows_of(out: Path) -> list[tuple[str, int, int]]:
    return [(Path(r.implementation).stem, r.replicate, r.attempt) for r in read(out)]


@pytest.mark.long
def test_a_run_beside_a_busy_process_measures_again_and_goes_on_where_it_was_killed(
    faulty: Callable[[str, str], Path],
    resnet_bench: Callable[..., subprocess.CompletedProcess[str]],
    eventually: Callable[[Callable[[], bool]], bool],
    survivors: Callable[[list[psutil.Process]], list[psutil.Process]],
    tmp_path: Path,
) -> None:
    out, names = tmp_path / "run", ("disturbed", "twin")
    paths = [faulty(name, DISTURBED) for name in names]
    records, hold, held = (
        out / "records.jsonl",
        *(paths[0].with_name(n) for n in ("hold", "held")),
    )
    asked = ("--impl", *paths, *WORDS, "--replicates", 1, "--remeasure-busy", 1, "--save-weights")
    both = [(name, 0) for name in names]

    def killed_with(rows: int, *words: object) -> dict[Path, int]:
        """Measure on until there are so many rows, and a worker is at work; then kill -9. Returns
        when each file of weights that a row names was written.
        """
        hold.write_text(str(rows))
        with subprocess.Popen([sys.executable, "-m", "bench", "run", *map(str, words)]) as process:
            assert eventually(held.exists)
            started = psutil.Process(process.pid).children(recursive=True)
            process.kill()
        assert survivors(started) == []
        held.unlink()
        files = [out / str(row.saved_weights) for row in read(out)]
        assert len(set(files)) == rows
        return {file: file.stat().st_mtime_ns for file in files}

    # in a block of the second attempt, of which there is no row yet
    kept = killed_with(2, *asked, "--out", out)
    lines = records.read_bytes()
    assert rows_of(out) == [*((*each, 0) for each in both)]
    # and where the second attempt has the row of one cell
    kept |= killed_with(3, "--resume", out)
    assert records.read_bytes().startswith(lines)
    lines = records.read_bytes()
    assert [row[2] for row in rows_of(out)] == [0, 0, 1]
    hold.unlink()

    done = resnet_bench("run", "--resume", out)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 to measure" in done.stdout
    assert "the machine was busy: 2 processes to be measured again" in done.stdout
    assert records.read_bytes().startswith(lines)
    rows = read(out)
    assert [row.attempt for row in rows] == [0, 0, 1, 2, 2]
    assert len(set(rows_of(out))) == 5
    assert rows[0].busy or rows[1].busy
    assert {(len(row.losses), row.losses) for row in rows} == {(10, rows[0].losses)}
    assert {row.attempt for row in counted(rows)} == {2}
    assert "Measured again, since the machine was busy" in (out / "report.md").read_text("utf-8")
    files = [out / str(row.saved_weights) for row in rows]
    assert len(set(files)) == 5
    # what was cut short had saved its weights, and has no row
    [cut_short] = set((out / "weights").iterdir()) - set(files)
    assert cut_short.stem.endswith("-0-attempt-1")
    assert {file: file.stat().st_mtime_ns for file in kept} == kept
    before = records.read_bytes()
    assert resnet_bench("run", "--resume", out).returncode == 0
    assert records.read_bytes() == before
