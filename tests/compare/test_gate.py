"""`compare --fail-if`: what fails, what passes and what cannot be decided."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.records import Record
from builders import (
    SPEEDS,
    TENSORFLOW,
    processes,
    record,
    slower,
    table_cells,
    timed,
)

Write = Callable[..., Path]
Compare = Callable[..., tuple[int, str]]


def test_what_scatters_too_much_is_undecided_and_does_not_fail(
    write: Write, compare: Compare
) -> None:
    base = write("base", *processes([1.0, 1.2, 0.9]))
    new = write("new", *processes([1.1, 1.3, 0.95], run_id="second"))
    code, text = compare(base, new, "--fail-if", "slower=3%")
    assert code == 0
    assert "Cannot be decided:\n\n- torch_module eager" in text
    assert "but its interval reaches" in text


def test_one_process_decides_nothing(write: Write, compare: Compare) -> None:
    base, new = write("base", timed([1.0])), write("new", timed([2.0], run_id="second"))
    code, text = compare(base, new, "--fail-if", "slower=3%")
    assert code == 0
    assert "1 without an interval, of which nothing can be said" in text
    assert "50.0 % slower, from one process, which gives no interval" in text


@pytest.mark.parametrize(
    ("field", "word"), [("host_peak_mib", "host memory"), ("device_peak_mib", "device memory")]
)
def test_memory_that_has_grown_fails(write: Write, compare: Compare, field: str, word: str) -> None:
    base = write("base", *processes(SPEEDS, **{field: 1000.0}))
    new = write("new", *slower(0.0, **{field: 1080.0}))
    code, text = compare(base, new, "--fail-if", "memory=5%")
    assert code == 1
    assert f"{word} 8.0 % more, beyond memory=5%" in text
    assert "1,000 → 1,080 (+8.0 % more)" in table_cells(text)
    assert compare(base, new, "--fail-if", "memory=9%")[0] == 0
    assert compare(new, base, "--fail-if", "memory=0%")[0] == 0


def test_accuracy_that_has_fallen_fails_where_its_test_images_can_tell(
    write: Write, compare: Compare
) -> None:
    gate = ("--fail-if", "slower=3%", "--fail-if", "accuracy=1pt")
    base = write("base", *processes(SPEEDS, test_accuracy=0.97))
    code, text = compare(base, write("low", *slower(0.0, test_accuracy=0.92)), *gate)
    assert code == 1
    assert "accuracy 5.0 pt lower, beyond accuracy=1pt" in text
    assert "97.0% → 92.0% (-5.0 pt lower)" in table_cells(text)

    code, text = compare(base, write("near", *slower(0.0, test_accuracy=0.95)), *gate)
    assert code == 0
    assert "accuracy 2.0 pt lower, but its interval reaches " in text
    many = {"dataset": "cifar10"}
    base = write("many", *processes(SPEEDS, test_accuracy=0.97, **many))
    assert compare(base, write("few", *slower(0.0, test_accuracy=0.95, **many)), *gate)[0] == 1


def test_training_to_a_target_is_held_against_its_time_and_not_its_speed(
    write: Write, compare: Compare
) -> None:
    def seeded(run_id: str, factor: float, **changes: Any) -> list[Record]:
        aim = {"workload": "train-to", "target_accuracy": 0.9, "evaluate_every": 10}
        times = [10.0, 10.5, 9.5, 10.2, 9.8]
        rows = processes(SPEEDS, run_id=run_id, **aim)
        return [
            replace(row, reached_train_s=factor * seconds, **changes)
            for row, seconds in zip(rows, times, strict=True)
        ]

    base = write("base", *seeded("first", 1))
    code, text = compare(base, write("new", *seeded("second", 2)), "--fail-if", "slower=3%")
    assert code == 1
    assert "time to target 100.0 % slower, beyond slower=3%" in text
    assert "10.0 → 20.0 (+100.0 % slower)" in table_cells(text)
    assert "images/s" not in text
    late = seeded("third", 1)
    late[0] = replace(late[0], reached_train_s=None, reason="not reached")
    text = compare(base, write("late", *late), "--fail-if", "slower=3%")[1]
    assert "time to target is known of one side only" in text
    never = [replace(row, reached_train_s=None) for row in late]
    code, text = compare(base, write("never", *never), "--fail-if", "slower=3%")
    assert code == 1
    assert "reached by all processes of BASE, by none of NEW" in text.split("**Fails**")[1]


def test_a_cell_that_breaks_in_one_process_fails_any_gate(write: Write, compare: Compare) -> None:
    base = write("base", *processes(SPEEDS))
    broken = [replace(slower(0.0)[0], status="crashed", reason="no luck"), *slower(0.0)[1:]]
    code, text = compare(base, write("new", *broken), "--fail-if", "slower=90%")
    assert code == 1
    assert "crashed (no luck)" in text.split("**Fails**")[1]
    assert "1 tied" in text
    known = write("known", *broken)
    assert compare(known, write("again", *slower(0.0)), "--fail-if", "slower=90%")[0] == 0


def test_what_one_side_alone_knows_is_undecided(write: Write, compare: Compare) -> None:
    base = write("base", *processes(SPEEDS, host_peak_mib=500.0))
    code, text = compare(base, write("new", *slower(0.0)), "--fail-if", "memory=5%")
    assert code == 0
    assert "host memory is known of one side only" in text


def test_a_cell_that_breaks_fails_any_gate(write: Write, compare: Compare) -> None:
    base = write("base", *processes(SPEEDS), *processes(SPEEDS, **TENSORFLOW))
    broken = record(status="oom", reason="no memory", run_id="second", **TENSORFLOW)
    new = write("new", *slower(0.0), broken)
    code, text = compare(base, new, "--fail-if", "slower=90%")
    assert code == 1
    assert f"1 of 1 processes in {new}: oom (no memory)" in text.replace("\\", "")
    assert compare(base, new)[0] == 0
    absent = record(status="unavailable", reason="not installed", run_id="third", **TENSORFLOW)
    assert compare(base, write("absent", *slower(0.0), absent), "--fail-if", "slower=90%")[0] == 0


def test_a_run_of_which_everything_broke_fails_the_gate(write: Write, compare: Compare) -> None:
    broken = record(status="crashed", reason="no luck", run_id="second")
    code, text = compare(
        write("base", *processes(SPEEDS)), write("new", broken), "--fail-if", "slower=3%"
    )
    assert code == 1
    assert "crashed (no luck)" in text.split("**Fails**")[1]
