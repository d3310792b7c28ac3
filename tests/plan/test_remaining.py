"""The time that is left: by the estimate at first, then by how long things really take."""

from dataclasses import replace

import pytest

from bench.plan.remaining import Remaining, Task
from builders import processes

CELL = replace(processes([1.0])[0].cell, steps=111)  # 99 of which are timed
TASKS = [(CELL, number) for number in range(4)]
ESTIMATE = {"build": 10.0, "warm_up": 10.0, "block": 99.0, "audit": 1.0}


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def go(remaining: Remaining, clock: Clock, task: Task, times: float) -> None:
    """One process, `times` as slow as it was estimated."""
    for name, steps in (("build", 0), ("warm_up", 11), *[("block", 9)] * 11, ("audit", 0)):
        remaining.on_request(task, name, steps)
        clock.now_s += times * (9.0 if name == "block" else ESTIMATE[name])
    remaining.on_end(task)


def test_it_begins_with_the_estimate_and_converges_to_the_truth() -> None:
    clock = Clock()
    remaining = Remaining(dict.fromkeys(TASKS, ESTIMATE), clock)
    assert remaining.left_s == pytest.approx(480.0)
    errors = []
    for done, task in enumerate(TASKS[:3], start=1):
        go(remaining, clock, task, times=2.0)
        assert remaining.left_s is not None
        errors.append(abs(remaining.left_s / (240.0 * (4 - done)) - 1))
    assert errors[0] < 0.1
    assert errors == sorted(errors, reverse=True)
    go(remaining, clock, TASKS[3], times=2.0)
    assert (remaining.left_s, remaining.ended) == (0.0, 4)


def test_it_falls_with_every_request() -> None:
    clock = Clock()
    remaining = Remaining(dict.fromkeys(TASKS, ESTIMATE), clock)
    seen = [remaining.left_s or 0.0]
    for steps in (0, 11, 9, 9, 9):
        name = {0: "build", 11: "warm_up"}.get(steps, "block")
        remaining.on_request(TASKS[0], name, steps)
        seen.append(remaining.left_s or 0.0)
        clock.now_s += 9.0 if name == "block" else 10.0
    assert seen[2:] == sorted(seen[2:], reverse=True)


def test_what_is_unknown_is_said_to_be_until_it_has_run() -> None:
    clock = Clock()
    remaining = Remaining(dict.fromkeys(TASKS), clock)
    assert remaining.left_s is None
    assert remaining.unknown == 4
    remaining.on_end(TASKS[0])
    clock.now_s = 5.0
    remaining.estimate({task: {"build": 5.0} for task in TASKS})
    assert remaining.left_s == pytest.approx(15.0)
    assert (remaining.unknown, remaining.ended) == (0, 1)


def test_a_process_that_fails_early_leaves_nothing_behind() -> None:
    remaining = Remaining(dict.fromkeys(TASKS, ESTIMATE), Clock())
    for task in TASKS:
        remaining.on_request(task, "build", 0)
        remaining.on_end(task)
    assert remaining.left_s == 0.0
