"""When a cell that begins late has caught up: by formula, against counting, and in the reports."""

import csv
import io
import math
import re
from itertools import count
from typing import Any

import pytest

from bench.analysis.cold_start import ColdStart, against_first, break_even, cold_start, overtakings
from bench.analysis.contests import Contest
from bench.analysis.ranking import contests_of
from bench.analysis.statistics import Estimate
from bench.records import Record
from bench.reports.formats import csv as tables
from builders import JAX, TENSORFLOW, record, report, report_md, timed

COMPILED = {"mode": "compiled"}


def starting(begun_s: float, step_s: list[float], **changes: Any) -> list[Record]:
    """Processes that begin within `begun_s` and 10 steps, then take `step_s` seconds a step."""
    values = {"import_s": 0.4 * begun_s, "build_s": 0.1 * begun_s, "warmup_s": 0.2 * begun_s}
    return [
        timed(
            [10 * seconds] * 9,
            replicate=number,
            cohort=str(number),
            first_step_s=0.3 * begun_s,
            **values | changes,
        )
        for number, seconds in enumerate(step_s)
    ]


def contest(*records: Record) -> Contest:
    (found,) = contests_of(records)
    return found


def named(*records: Record) -> dict[tuple[str, str], Estimate]:
    return {
        (o.late.cell.label, o.early.cell.label): o.steps for o in overtakings(contest(*records))
    }


def test_a_cold_start_is_all_that_comes_before_the_timed_steps() -> None:
    found = cold_start(starting(2.0, [0.1, 0.3, 0.2]))
    assert found is not None
    assert found.begun_s == pytest.approx(2.0)
    assert found.begun_steps == 10
    assert found.step_s == pytest.approx(0.2)


def test_what_was_not_measured_is_no_cold_start() -> None:
    assert cold_start([]) is cold_start([record()]) is cold_start([timed([1.0])]) is None


@pytest.mark.parametrize(("late_s", "step_s"), [(20.0, 0.05), (3.0, 0.09), (1.0001, 0.01)])
def test_break_even_is_where_counting_finds_it(late_s: float, step_s: float) -> None:
    early, late = (
        ColdStart(1.0, 0.0, 0.0, 0.0, 10, 0.1),
        ColdStart(late_s, 0.0, 0.0, 0.0, 10, step_s),
    )
    steps = break_even(late, early, Estimate(early.step_s / late.step_s)).value

    def elapsed_s(start: ColdStart, steps: int) -> float:
        return start.begun_s + (steps - start.begun_steps) * start.step_s

    counted = next(n for n in count(10) if elapsed_s(late, n) <= elapsed_s(early, n) + 1e-9)
    assert math.ceil(steps - 1e-6) == counted


def test_what_is_no_faster_per_step_never_overtakes() -> None:
    early, late = ColdStart(1.0, 0.0, 0.0, 0.0, 10, 0.1), ColdStart(2.0, 0.0, 0.0, 0.0, 10, 0.1)
    for ratio in (1.0, 0.5):
        assert break_even(late, early, Estimate(ratio)).value == math.inf


def test_the_interval_is_that_of_the_speeds() -> None:
    early, late = ColdStart(1.0, 0.0, 0.0, 0.0, 10, 0.1), ColdStart(2.0, 0.0, 0.0, 0.0, 10, 0.05)
    steps = break_even(late, early, Estimate(2.0, 1.25, 4.0))
    assert steps.value == pytest.approx(10 + 1 / 0.05)
    assert steps.low == pytest.approx(10 + 1 / 0.075)
    assert steps.high == pytest.approx(10 + 1 / 0.02)
    assert break_even(late, early, Estimate(1.1, 0.9, 1.3)).high == math.inf


def test_modes_of_one_implementation_and_compiled_cells_against_the_first_are_compared() -> None:
    eager, compiled = starting(2.0, [0.1]), starting(10.0, [0.05], **COMPILED)
    first = starting(1.0, [0.2], **TENSORFLOW)
    late = starting(20.0, [0.025], **JAX)
    found = named(*eager, *compiled, *first, *late)
    assert set(found) == {
        ("torch_module compiled", "torch_module eager"),
        ("torch_module compiled", "keras_functional[tensorflow] graph"),
        ("keras_functional[jax] compiled", "keras_functional[tensorflow] graph"),
    }
    assert found["torch_module compiled", "torch_module eager"].value == pytest.approx(
        10 + 8 / 0.05
    )
    ranking = contest(*eager, *compiled, *first, *late)
    assert {cell.label: steps.value for cell, steps in against_first(ranking).items()} == {
        "torch_module eager": pytest.approx(10 + 1 / 0.1),
        "torch_module compiled": pytest.approx(10 + 9 / 0.15),
        "keras_functional[jax] compiled": pytest.approx(10 + 19 / 0.175),
    }


def test_cells_that_never_ran_side_by_side_are_not_compared() -> None:
    alone = [timed([0.5] * 9, import_s=1.0, build_s=1.0, first_step_s=1.0, cohort="9", **COMPILED)]
    assert named(*starting(1.0, [0.1]), *alone) == {}


def test_reports_say_when() -> None:
    eager = starting(2.0, [0.1, 0.101, 0.102])
    compiled = starting(10.0, [0.05, 0.0502, 0.0508], **COMPILED)
    slower = starting(12.0, [0.3, 0.31, 0.32], **JAX)
    records = [*eager, *compiled, *slower]
    text = report_md(*records).split("## Cold start")[1]
    expected = r"PyTorch compiled overtakes PyTorch eager after 16\d \[16\d, 17\d\] steps"
    assert re.search(expected, text)
    assert "Keras functional on JAX never overtakes PyTorch eager" in text
    rows = {
        r["mode"] + r["backend"]: r
        for r in csv.DictReader(io.StringIO(tables.summary(report(*records))))
    }
    assert 165 < float(rows["compiledtorch"]["break_even_steps"]) < 175
    assert float(rows["compiledjax"]["break_even_steps"]) == math.inf
    assert rows["eagertorch"]["break_even_steps"] == ""


def test_a_tie_per_step_says_from_when_at_the_earliest() -> None:
    eager, compiled = starting(1.0, [0.1, 0.11, 0.1]), starting(2.0, [0.11, 0.1, 0.101], **COMPILED)
    text = report_md(*eager, *compiled).split("## Cold start")[1]
    assert "is not seen to overtake PyTorch eager: after" in text


def test_old_records_that_tell_nothing_have_no_section() -> None:
    assert "Cold start" not in report_md(timed([1.0]))
