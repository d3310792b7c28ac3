"""What fits into a budget: chosen on made-up costs, then by a whole run with real workers."""

import json
import shutil
import subprocess
import time
from argparse import ArgumentTypeError
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.cells import Cell
from bench.cli.arguments import duration
from bench.cli.main import main
from bench.errors import UsageError
from bench.plan.budget import Fit, fit
from bench.plan.estimate import Estimator, Here
from bench.plan.observed import Observed, observed
from bench.plan.plan import Plan
from bench.records import Record
from bench.records.reading import read
from bench.records.run import LeftOut
from bench.reports.formats import markdown
from bench.reports.report import Report
from bench.request.request import Request
from bench.run.budgeted import Budget
from bench.validation import parse
from builders import JAX, TENSORFLOW, processes, run

Run = Callable[..., subprocess.CompletedProcess[str]]

KERAS_TORCH = JAX | {"backend": "torch", "mode": "eager"}
CONTENDERS = {
    "torch_module eager": ({}, 2.0),
    "keras_functional[torch] eager": (KERAS_TORCH, 9.0),
    "keras_functional[jax] compiled": (JAX, 4.0),
    "keras_functional[tensorflow] graph": (TENSORFLOW, 6.0),
}


def seen() -> list[Observed]:
    rows = []
    for changes, import_s in CONTENDERS.values():
        rows += processes([0.5], import_s=import_s, build_s=0.0, first_step_s=0.1, **changes)
    return observed(rows, [run()])


def cells() -> list[Cell]:
    return [processes([0.5], **changes)[0].cell for changes, _ in CONTENDERS.values()]


def chosen(budget_s: float, every: Sequence[Cell] | None = None) -> Fit:
    known = Estimator(Here("desk", {}), seen())
    return fit(every or cells(), known, budget_s, lambda kept: 2.0, processors=2)


def test_with_time_enough_nothing_is_left_out_and_steps_are_the_profiles() -> None:
    found = chosen(600.0)
    assert len(found.cells) == 4
    assert found.steps == 100
    assert found.left_out == ()


def test_steps_go_before_contenders_and_the_second_of_a_backend_before_the_slowest() -> None:
    found = chosen(100.0)
    assert len(found.cells) == 4
    assert found.steps < 100
    found = chosen(60.0)
    assert [each.what for each in found.left_out] == ["keras_functional[torch] eager"]
    assert "9.1 s to start" in found.left_out[0].reason
    found = chosen(35.0)
    assert [each.what for each in found.left_out][1:] == ["keras_functional[tensorflow] graph"]
    for budget_s in (35.0, 60.0, 100.0, 600.0):
        assert chosen(budget_s).estimated_s <= budget_s


def test_where_two_contenders_are_left_contests_go() -> None:
    every = [*cells()[:1], *cells()[2:3]]
    both = [*every, *(replace(cell, batch_size=128) for cell in every)]
    found = chosen(40.0, both)
    assert {cell.batch_size for cell in found.cells} == {64}
    assert "batch 128" in found.left_out[-1].what


def test_a_budget_that_holds_no_contest_is_refused_with_the_least_that_would_do() -> None:
    with pytest.raises(UsageError) as error:
        chosen(5.0)
    least = float(str(error.value).rpartition("--budget ")[2].partition("s")[0])
    assert len(chosen(least).cells) == 2


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("60s", 60), ("10m", 600), ("1h30m", 5400), ("2h", 7200), ("1h0m5s", 3605), (" 5m ", 300)],
)
def test_a_time_is_read(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "10", "m", "0s", "-5m", "5m1h", "1.5h", "10 min", "nan", "1d"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="is not a time such as 60s, 10m or 1h30m"):
        duration(text)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--budget", "soon"), "'soon'"),
        (("--budget", "5m", "--steps", "10"), "--steps"),
        (("--budget", "5m", "--replicates", "3"), "--replicates"),
        (("--budget", "5m", "--precision-target", "1%"), "--precision-target"),
        (("--budget", "5m", "--batch-size", "max"), "--batch-size max"),
        (("--budget", "5m", "--workload", "train-to", "--target-accuracy", "0.9"), "train-to"),
        (("--budget", "5m", "--plan", "--steps", "10"), "--steps"),
        (("--budget", "1s", "--impl", "torch_module", "--no-certify"), "or more"),
    ],
)
def test_contradictions_are_one_line(
    words: tuple[str, ...], told: str, resnet_bench: Run, tmp_path: Path
) -> None:
    finished = resnet_bench("run", *words)
    assert finished.returncode == 2
    [line] = finished.stderr.splitlines()
    assert told in line
    assert not (tmp_path / "results").exists()


def test_a_plan_shows_what_a_budget_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # where nothing is known
    monkeypatch.chdir(tmp_path)
    words = ["run", "--plan", "--json", "--workload", "train", "--device", "cpu"]
    words += ["--impl", "torch_module", "keras_functional"]
    assert main([*words, "--budget", "90s"]) == 0
    found = parse(capsys.readouterr().out, Plan)
    assert found.total_s is not None
    assert found.total_s < 90
    left_out = [line for line in found.remarks if line.startswith("left out: keras_functional[")]
    assert found.cells + len(left_out) == 4
    assert left_out
    assert found.processes == 3 * found.cells
    assert "budget 90 s" in found.remarks[-2]
    assert "more processes" in found.remarks[-1]
    assert not (tmp_path / "results").exists()


def test_a_run_ends_within_its_budget_or_says_why(
    fake: Path, resnet_bench: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # where nothing is known
    second = shutil.copy(fake, fake.with_name("second.py"))
    began_s = time.monotonic()
    finished = resnet_bench(
        *("run", "--impl", fake, second, "--workload", "train", "--optimizer", "sgd"),
        *("--no-certify", "--budget", "25s", "--out", "out"),
    )
    took_s = time.monotonic() - began_s
    assert (finished.returncode, finished.stderr) == (0, "")
    assert took_s <= 27.5 or "budget 25 s: measured within" in finished.stdout
    rows = read(tmp_path / "out")
    counts = {cell: sum(row.cell == cell for row in rows) for cell in {row.cell for row in rows}}
    assert len(counts) == 2
    assert min(counts.values()) >= 3
    assert len(set(counts.values())) == 1
    described = json.loads((tmp_path / "out" / "run.json").read_text())
    assert described["budget_s"] == 25.0
    assert described["left_out"] == []
    assert "time left unknown until each has run once" in finished.stdout
    assert "order of train" in finished.stdout
    assert "was to end within 25 s" in (tmp_path / "out" / "report.md").read_text()
    assert resnet_bench("run", "--resume", "out").returncode == 0
    assert len(read(tmp_path / "out")) == len(rows)


def test_the_report_names_what_was_left_out() -> None:
    left_out = (LeftOut(what="torch_export compiled", reason="it takes 23 s to start"),)
    described = run(budget_s=60.0, left_out=left_out, options=Request(replicates=3))
    text = markdown.render(Report(processes([1.0, 1.1]), [described]))
    assert "At least 3 processes per cell" in text
    assert "was to end within 60 s, and left out for want of time" in text
    assert "compiled: it takes 23 s to start" in text


class Told:
    """A budgeted run of made-up records: what it leaves out and says."""

    def __init__(self, left_s: float, every: Sequence[Cell], **asked: Any) -> None:
        self.left_s, self.dropped, self.said = left_s, list[LeftOut](), list[str]()
        known = Estimator(Here("desk", {}), seen())
        self.rows = [row for changes, s in CONTENDERS.values() for row in one(s, **changes)]
        self.budget = Budget(
            run(options=asked),
            lambda: self.rows,
            self.said.append,
            known,
            2,
            lambda: self.left_s,
            self.dropped.append,
        )
        self.rounds = self.budget.rounds(every)


def one(import_s: float, **changes: Any) -> list[Record]:
    return processes([0.5], import_s=import_s, build_s=0.0, first_step_s=0.1, **changes)


def test_after_the_first_replicate_the_slow_go_no_further_where_that_helps() -> None:
    told = Told(200.0, cells())
    assert len(next(told.rounds).tasks) == 4
    told.left_s = 100.0  # the first replicate took longer than estimated
    going = {cell.label for cell, _ in next(told.rounds).tasks}
    left_out = [each.what for each in told.dropped]
    assert len(left_out) >= 1
    assert going == {cell.label for cell in cells()} - set(left_out)
    assert len(going) >= 2
    told = Told(200.0, cells())
    next(told.rounds)
    told.left_s = 1.0
    assert len(next(told.rounds).tasks) == 8
    assert told.dropped == []
    assert "exceed its budget" in told.said[-1]


def test_what_was_disturbed_is_measured_again_before_more_and_while_time_is_left() -> None:
    for left_s, attempts in ((10_000.0, [1, 0]), (0.0, [])):
        told = Told(200.0, cells(), remeasure_busy=1)
        next(told.rounds)
        rest = next(told.rounds)
        told.rows = [replace(row, busy=True) for row in told.rows]
        assert rest.attempt == 0
        told.left_s = left_s
        found = []
        for each in told.rounds:
            found.append(each.attempt)
            if not each.attempt:
                break
            assert {index for _, index in each.tasks} == {0}
            told.rows += [replace(row, busy=False, attempt=1) for row in told.rows]
        assert found == attempts
