"""Training to a target accuracy: real runs that get there and that do not, and their ranking."""

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.analysis.contests import summarise
from bench.analysis.statistics import seconds_to_target
from bench.cells import Cell
from bench.parent.to_target import blocks, of_process
from bench.records import Record
from bench.records import Run as RunFacts
from bench.records.reading import read
from bench.reports.formats import html, markdown
from bench.reports.formats import terminal as ranking
from bench.reports.sections import time_to
from bench.reports.text import interval
from bench.run.measure import measure
from bench.validation import convert, plain
from builders import JAX, TENSORFLOW, run, timed

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
    report = markdown.render([row], [run()])
    assert "no contender reached the target in every process" in report
    assert "| 0 of 1 |" in report
    assert "seed 0: not reached" in report


def arrivals(times: Sequence[float | None], **changes: Any) -> list[Record]:
    """Processes that reached their target after so many seconds, or did not."""
    common = {"workload": "train-to", "target_accuracy": 0.9, "evaluate_every": 10}
    return [
        timed(
            [1.0] * (1 + number),
            replicate=number,
            cohort=str(number),
            drawn_seed=number,
            reached_train_s=seconds,
            reached_steps=None if seconds is None else 10 * (1 + number),
            reason="not reached: test accuracy 0.8" if seconds is None else None,
            **common | changes,
        )
        for number, seconds in enumerate(times)
    ]


def test_cells_are_ranked_by_their_time_and_compared_seed_by_seed() -> None:
    slow, quick = arrivals([20.0, 41.0, 80.0]), arrivals([10.0, 20.0, 41.0], **JAX)
    (contest,) = summarise(slow + quick)
    first, second = contest
    assert first.cell.backend == "jax"
    assert second.verdict == "slower"
    assert second.speed_against_fastest is not None
    assert 0.49 < second.speed_against_fastest.value < 0.51
    assert second.speed_against_fastest.high is not None
    assert second.speed_against_fastest.high < 0.6  # though times vary by four with the seed
    text = markdown.render(slow + quick, [run()])
    assert "slower: torch_module eager" in text
    assert "| 3 of 3 | 20 (10 – 30) |" in text
    assert "DIFFERENT" not in text
    page = html.content([contest], [run()])
    assert [cell["columns"][1] for cell in page["cells"]] == [
        (f"{interval(s.seconds_to_target, 1)} s to target", s.seconds_to_target.value)
        for s in contest
        if s.seconds_to_target
    ]
    assert "compares processes of equal seeds" in " ".join(page["reading"].split())


def test_who_did_not_always_arrive_has_no_time_and_no_rank() -> None:
    lucky = arrivals([1.0, None, 1.0], **TENSORFLOW)
    sure = arrivals([20.0, 21.0, 22.0])
    (contest,) = summarise(lucky + sure)
    assert [s.cell.backend for s in contest] == ["torch", "tensorflow"]
    assert contest[1].speed_against_fastest is contest[1].verdict is contest[1].group is None
    assert seconds_to_target(lucky) is None
    assert "not always there within 100 steps: keras_functional[tensorflow]" in time_to.answer(
        contest
    )
    assert "| 2 of 3 |" in time_to.section(contest)
    assert len(ranking.tables(lucky + sure, [run()])) == 1


def test_who_failed_in_a_process_has_no_time_and_no_rank() -> None:
    broken = arrivals([1.0, 1.0, 1.0], **TENSORFLOW)
    broken[2] = replace(broken[2], status="crashed", reason="the loss became nan")
    missed = arrivals([0.5, 0.5, None], **JAX)
    (contest,) = summarise(broken + missed + arrivals([20.0, 21.0, 22.0]))
    assert [s.cell.backend for s in contest if s.seconds_to_target] == ["torch"]
    assert contest[0].cell.backend == "torch"
    assert [s.verdict for s in contest] == [None] * 3
    assert "| 2 of 3 |" in time_to.section(contest)


def test_nobody_is_fastest_where_nobody_arrives() -> None:
    (contest,) = summarise(arrivals([None, None]) + arrivals([None, 1.0], **JAX))
    assert "no contender" in time_to.answer(contest)
    assert "fastest |" not in time_to.section(contest).splitlines()[2]
