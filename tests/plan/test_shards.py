"""The cut of a plan: complete, whole, balanced, and the same on every machine."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.cells import LARGEST, Cell
from bench.errors import UsageError
from bench.parent.schedule import by_contest
from bench.plan import times
from bench.plan.published import published
from bench.plan.shards import Part, cut
from bench.request.matrix import cells_of
from bench.request.request import Request

ASKED = Request(
    impl=("torch_module", "flax_nnx", "onnxruntime_engine"),
    model=("resnet14", "resnet50"),
    workload=("train", "infer", "train+input"),
    device=("cpu",),
    precision=("fp32", "bf16"),
    batch_size=(32, 64),
    steps=72,
    threads=(2,),
    replicates=3,
)
UNKNOWN = replace(ASKED, impl=("torch_module", "flax_nnx"), device=("mps",))  # no run is published


def parts(of: int, request: Request = ASKED) -> list[Part]:
    return cut(request, cells_of(request), of)


def tasks(one: Part) -> set[tuple[Cell, int]]:
    return {(cell, index) for cell in one.cells for index in range(3)} - one.elsewhere


@pytest.mark.parametrize("of", [1, 7, 16, 17, 48])
@pytest.mark.parametrize("request_", [ASKED, UNKNOWN], ids=["published", "unknown"])
def test_shards_hold_every_process_once_and_what_is_compared_stays_together(
    of: int, request_: Request
) -> None:
    cells, found = cells_of(request_), parts(of, request_)
    every = [task for one in found for task in tasks(one)]
    assert len(every) == len(set(every)) == len(cells) * 3
    assert all(tasks(one) for one in found)
    whole = by_contest([(cell, index) for cell in cells for index in range(3)])
    assert len(whole) == 48  # 16 contests, since train+input stays with train
    for group in whole:
        assert sum(not tasks(one).isdisjoint(group) for one in found) == 1
    if of <= 16:  # all replicates of a contest, too
        assert not any(one.elsewhere for one in found)
    assert sum(one.share for one in found) == pytest.approx(1)
    assert len({one.shard.plan for one in found}) == 1
    assert [one.shard.name for one in found] == [f"{n}/{of}" for n in range(1, of + 1)]


def test_shards_take_about_as_long_as_each_other() -> None:
    # the longest contest first: no shard is beyond the mean by more than the last that it got
    longest = max(one.share for one in parts(16))
    for of in (2, 3, 4):
        shares = [one.share for one in parts(of)]
        assert max(shares) - min(shares) <= longest
    assert max(one.share for one in parts(48)) < longest  # a contest is divided


def test_the_cut_is_the_same_on_a_machine_that_remembers_other_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = parts(3)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    torch = [each for each in published() if each.implementation == "torch_module"]
    times.remember(replace(each, step_s=9.0) for each in torch)
    assert times.known().observed
    assert parts(3) == before


def test_the_cut_is_the_same_in_a_process_whose_hashes_differ() -> None:
    program = """
from test_shards import parts
print(*(f"{one.shard.plan} {one.share!r}" for of in (3, 40) for one in parts(of)))
"""
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1


def test_other_plans_and_cuts_have_other_fingerprints() -> None:
    known = {one[0].shard.plan for one in (parts(3), parts(4), parts(40))}
    for change in ({"steps": 73}, {"seed": 1}, {"replicates": 4}, {"model": ("resnet14",)}):
        known.add(parts(3, replace(ASKED, **change))[0].shard.plan)
    assert len(known) == 7
    moved = replace(ASKED, data_dir="/elsewhere")
    assert parts(3, moved) == parts(3)


@pytest.mark.parametrize(
    ("changes", "of", "said"),
    [
        ({}, 49, "--shard I/49: the plan has 16 contests of 3 processes per cell, and the "),
        ({"precision_target": 0.01}, 17, "the plan has 16 contests, and --precision-target adds"),
        ({"batch_size": ("max",)}, 9, "the plan has 8 contests, and --batch-size max is found"),
    ],
)
def test_more_shards_than_can_be_are_refused(
    changes: dict[str, object], of: int, said: str
) -> None:
    request = replace(ASKED, **changes)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="shards at most") as refused:
        parts(of, request)
    assert said in str(refused.value)
    assert len(parts(of - 1, request)) == of - 1


def test_a_largest_batch_is_searched_for_in_one_shard() -> None:
    found = parts(8, replace(ASKED, batch_size=("max",)))
    assert all(cell.batch_size == LARGEST for one in found for cell in one.cells)
    assert not any(one.elsewhere for one in found)
