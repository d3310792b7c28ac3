"""What did not stand still is found in simulated blocks, and what did is let alone."""

import random
from itertools import accumulate
from math import exp

import pytest

from bench.analysis.steadiness import FEWEST, busy, leak, settled
from builders import record, timed

RUNS = 100


def marked(
    cells: int, blocks: int = 20, drift: float = 0.0, late: float = 0.0, machine: float = 0.0
) -> list[int]:
    """In how many of RUNS each cell is found unsettled.

    Blocks scatter by 2 %; the machine wavers by 3 % from round to round and slows down by a factor
    of exp(`machine`) over all; the first cell by exp(`drift`), and by exp(`late`) at half time.
    """
    order = random.Random(0)
    counts = [0] * cells
    for _ in range(RUNS):
        rounds = [order.gauss(machine * i / (blocks - 1), 0.03) for i in range(blocks)]
        cohort = [
            [
                exp(factor + order.gauss(0, 0.02) + (0 if cell else own(i)))
                for i, factor in enumerate(rounds)
            ]
            for cell in range(cells)
            for own in [lambda i: drift * i / (blocks - 1) + late * (i >= blocks // 2)]
        ]
        for cell, steady in enumerate(settled(cohort)):
            counts[cell] += steady is False
    return counts


@pytest.mark.parametrize(("cells", "blocks"), [(1, 10), (2, 10), (3, 20)])
def test_cells_that_are_settled_are_seldom_marked(cells: int, blocks: int) -> None:
    assert max(marked(cells, blocks)) <= 10  # 5 are stated


@pytest.mark.parametrize("cells", [2, 3])
def test_a_machine_that_slows_down_marks_no_cell(cells: int) -> None:
    assert max(marked(cells, machine=0.10)) <= 10
    assert marked(1, machine=0.10)[0] > 50  # which one cell alone cannot tell


@pytest.mark.parametrize("cells", [1, 2, 3])
def test_a_cell_that_is_slower_in_its_later_half_is_found(cells: int) -> None:
    first, *others = marked(cells, late=0.10)
    assert first >= 95
    assert max(others, default=0) <= 30


def test_a_cell_that_slows_down_bit_by_bit_is_found() -> None:
    assert marked(3, drift=0.10)[0] >= 70


def test_a_cell_that_grows_faster_has_not_settled_either() -> None:
    assert marked(3, late=-0.10)[0] >= 95


def test_a_difference_that_does_not_matter_marks_nothing() -> None:
    blocks = [1.0 + 0.001 * i for i in range(20)]
    assert settled([blocks, [1.0] * 20]) == [True, True]


def test_too_few_blocks_tell_nothing() -> None:
    assert settled([[1.0] * (FEWEST - 1)] * 2) == [None, None]
    assert settled([[1.0] * FEWEST] * 2) == [True, True]
    assert settled([]) == []


def test_a_machine_is_busy_where_others_had_much_of_it_often() -> None:
    calm = {"block_own_cores": (2.0,) * 4, "block_stolen_cores": (0.0,) * 4}
    others = {"block_other_cores": (0.5, 0.0, 0.0, 0.0)}
    assert busy(timed([0.5] * 4, **calm, **others)) is False
    others = {"block_other_cores": (0.5, 0.5, 0.0, -0.01)}
    assert busy(timed([0.5] * 4, **calm, **others)) is True
    stolen = calm | {"block_stolen_cores": (0.3,) * 4, "block_other_cores": (0.0,) * 4}
    assert busy(timed([0.5] * 4, **stolen)) is True
    assert busy(timed([0.5] * 4, **stolen | {"block_stolen_cores": ()})) is False


def test_what_the_kernel_counts_too_coarsely_makes_no_machine_busy() -> None:
    seen = {"block_own_cores": (1.0,) * 4, "block_other_cores": (0.2,) * 4}
    assert busy(timed([0.12] * 4, **seen)) is False
    assert busy(timed([0.01] * 4, **seen)) is None
    assert busy(timed([0.5] * 4)) is None
    assert busy(record()) is None


def held(kib_per_step: float, blocks: int, noise_mib: float = 0.1) -> list[float]:
    order = random.Random(0)
    steps = accumulate([10] * blocks)
    return [500 + order.gauss(0, noise_mib) + kib_per_step * step / 1024 for step in steps]


@pytest.mark.parametrize("where", ["host", "device"])
def test_memory_that_grows_with_every_step_is_a_leak(where: str) -> None:
    row = timed([1.0] * 20, **{f"block_{where}_mib": tuple(held(64.0, 20))})
    found = leak(row, where)
    assert found
    assert found.kib_per_step == pytest.approx(64, rel=0.1)
    assert 0 < found.low < found.kib_per_step < found.high
    assert found.leaks


def test_pools_that_grow_now_and_then_and_noise_are_no_leaks() -> None:
    flat = held(0.0, 20)
    grown = [value + 300 * (index > 5) for index, value in enumerate(flat)]
    slight = held(10.0, 20, noise_mib=0.001)  # 1.9 MiB of 500
    # as XLA's pools grew in a run of flax_nnx, and TensorFlow's in one of tensorflow_module
    xla = [762, 763, 763, 817, 817, 871, 871, 909, 871, 913, 871, 871, 871, 871, 925]
    tf = [988, 1014, 999, 1001, 1028, 1034, 1037, 1038, 1038, 1038, 1053, 1053, 1053, 1053, 1053]
    for values in (flat, grown, slight, [500.0] * 20, xla, tf):
        found = leak(timed([1.0] * len(values), block_host_mib=tuple(values)), "host")
        assert found
        assert not found.leaks


def test_a_leak_is_seen_through_the_pages_that_memory_is_taken_in() -> None:
    pages = [500 + 2 * (index // 3) for index in range(100)]  # every third block takes one
    found = leak(timed([1.0] * 100, block_host_mib=tuple(pages)), "host")
    assert found
    assert found.leaks


def test_memory_that_nobody_counted_has_no_slope() -> None:
    assert leak(timed([1.0] * 20), "host") is None
    few = FEWEST - 1
    assert leak(timed([1.0] * few, block_host_mib=(500.0,) * few), "host") is None
