"""Campaigns of `tests/benchmarks/faults.py`: nothing is lost, doubled or left behind."""

import os
from pathlib import Path

import pytest

from benchmarks.faults import kills, kinds

SOME = (
    "unknown_key",
    "cpu_s_missing",
    "two_answers",
    "exit_with_0",
    "another_process_group",
    "signal_without_a_name",
    "output_of_100_mb",
    "orphans_left_behind",
)


def test_who_misbehaves_is_a_row_and_harms_nobody() -> None:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    assert kinds(SOME, cache) == []


@pytest.mark.long
def test_whatever_is_done_wrong_is_a_row() -> None:
    assert kinds() == []


@pytest.mark.long
def test_runs_that_are_killed_200_times_lose_and_leave_nothing() -> None:
    assert kills(200, (), seed=0) == []


@pytest.mark.long
def test_runs_of_pytorch_that_are_killed_lose_and_leave_nothing() -> None:
    assert kills(10, ["torch_module"], seed=1) == []
