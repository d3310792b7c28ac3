"""Training to a target accuracy: real runs that get there and that do not."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.cells import Cell
from bench.parent.to_target import blocks, of_process
from bench.records import Run as RunFacts
from bench.records.reading import read
from bench.run.measure import measure
from bench.validation import convert, plain
from builders import report_md, run

MakeCell = Callable[..., Cell]
Run = Callable[..., subprocess.CompletedProcess[str]]

TO = ("--workload", "train-to", "--optimizer", "sgd", "--no-certify", "--out", "run")


@pytest.mark.parametrize(("steps", "every"), [(40, 10), (45, 10), (7, 10), (2, 1), (9, 1), (11, 5)])
def test_evaluations_come_after_every_so_many_steps_and_after_the_last(
    steps: int, every: int, make_cell: MakeCell
) -> None:
    found = blocks(make_cell(steps=steps, target_accuracy=0.9, evaluate_every=every))
    ends = [1 + sum(found[: index + 1]) for index in range(len(found))]
    assert all(length > 0 for length in found)
    assert ends == [end for end in range(2, steps + 1) if end % every == 0 or end == steps]


def test_each_process_begins_from_a_seed_of_its_own(make_cell: MakeCell) -> None:
    cell = make_cell(workload="train-to", target_accuracy=0.9, seed=5)
    assert [of_process(cell, replicate).seed for replicate in range(3)] == [5, 6, 7]
    assert of_process(make_cell(seed=5), 2).seed == 5


def test_a_run_trains_until_the_target_is_reached_and_no_longer(
    fake: Path, resnet_bench: Run, tmp_path: Path
) -> None:
    finished = resnet_bench(
        *("run", "--impl", fake, "--mode", "eager", "graph", "--replicates", 2, *TO),
        *("--target-accuracy", 0.9, "--steps", 300, "--evaluate-every", 7),
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    rows = read(tmp_path / "run")
    assert len(rows) == 4
    for row in rows:
        assert row.status == "ok"
        assert row.reason is None
        assert row.drawn_seed == row.seed + row.replicate
        assert row.reached_steps is not None
        assert row.reached_steps % 7 == 0 or row.reached_steps == 300
        assert row.reached_steps == len(row.losses) == 1 + sum(row.block_steps)
        assert row.reached_train_s == pytest.approx(sum(row.block_s) + (row.first_step_s or 0))
        assert len(row.accuracies) == len(row.block_s)
        assert row.accuracies[-1] == row.test_accuracy
        assert max(row.accuracies[:-1], default=0) < 0.9 <= row.accuracies[-1]
        assert row.evaluation_s
        assert row.latency_ms == ()
    for field in ("weights_sha256", "data_sha256", "reached_steps"):
        same = {row.replicate: getattr(row, field) for row in rows}
        assert all(getattr(row, field) == same[row.replicate] for row in rows)
    assert len({row.weights_sha256 for row in rows}) == 2
    report = (tmp_path / "run" / "report.md").read_text()
    assert "| 2 of 2 |" in report
    assert "DIFFERENT" not in report
    assert "s to target" in finished.stdout


def test_a_target_that_is_not_reached_is_said_and_is_no_failure(
    make_cell: MakeCell, digits: Path, tmp_path: Path
) -> None:
    goal: dict[str, Any] = {"target_accuracy": 0.999, "evaluate_every": 10}
    cell = make_cell(workload="train-to", steps=25, **goal)
    here = convert(plain(run()), RunFacts)
    (row,) = measure(here, [(cell, 0)], {cell: digits}, {}, logs=tmp_path, timeout_s=60)
    assert row.status == "ok"
    assert (row.reached_steps, row.reached_train_s) == (None, None)
    assert row.reason is not None
    assert "not reached" in row.reason
    assert "in 25 steps" in row.reason
    assert (len(row.losses), len(row.accuracies)) == (25, 3)  # after 10, 20 and 25
    report = report_md(row)
    assert "no contender reached the target in every process" in report
    assert "| 0 of 1 |" in report
    assert "seed 0: not reached" in report
