"""The arithmetic of blocks."""

import pytest

from bench.parent.measurement import MIN_BLOCKS, split, warm_up_steps


@pytest.mark.parametrize("steps", [1, 2, 7, 9, 10, 11, 35, 100, 361])
@pytest.mark.parametrize("typical", [1, 3, 10, 100, 1_000_000])
def test_blocks_hold_all_steps_and_differ_by_one_at_most(steps: int, typical: int) -> None:
    blocks = split(steps, typical)
    assert sum(blocks) == steps
    assert min(blocks) >= 1
    assert max(blocks) - min(blocks) <= 1
    assert len(blocks) >= min(steps, MIN_BLOCKS)


def test_blocks_are_about_as_long_as_is_typical() -> None:
    assert split(360, 20) == [20] * 18
    assert split(25, 1_000) == [3] * 5 + [2] * 5


@pytest.mark.parametrize(
    ("steps", "warm_up"), [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (10, 2), (100, 10), (400, 40)]
)
def test_the_warm_up_is_a_tenth_and_leaves_steps_to_time(steps: int, warm_up: int) -> None:
    assert warm_up_steps(steps) == warm_up
