"""Shards of one plan are one run in a report; what is missing, doubled or foreign is named."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.errors import UsageError
from bench.records import Record
from bench.records.run import Shard
from bench.records.shards import Source, check_one_plan, united
from builders import JAX, processes, record, run

PLAN, OTHER = "3f9a1c20" + "0" * 56, "77c0ffee" + "0" * 56


def shard(
    number: int, rows: Sequence[Record] = (), *, plan: str = PLAN, name: str = "", **changes: Any
) -> Source:
    """A shard of three in the folder `name`, with these rows or two."""
    name = name or f"sweep-{number}"
    described = replace(
        run(run_id=name, command=f"resnet-bench run --shard {number}/3 --seed 0", **changes),
        shard=Shard(number=number, of=3, plan=plan),
    )
    own = rows or processes([1.0, 1.1], batch_size=number)
    return described, [replace(row, run_id=name) for row in own]


def test_shards_of_one_plan_are_one_run() -> None:
    peak = {"library": "torch", "copy_gb_per_s": 9.0}
    given = [
        shard(
            number,
            utc=f"2026-01-0{number}T00:00:00+00:00",
            spent_s={"measuring": 2.0, "peaks": 1.0},
            peaks={"cpu": {"2/fp32": peak | {"gflop_per_s": speed}}},
        )
        for number, speed in ((3, 50.0), (1, 70.0), (2, 60.0))
    ]
    [(whole, rows)], remarks = united(given)
    assert remarks == []
    assert whole.run_id == "plan 3f9a1c20"
    assert {row.run_id for row in rows} == {whole.run_id}
    assert [row.batch_size for row in rows] == [1, 1, 2, 2, 3, 3]  # whatever order they come in
    assert whole.utc == "2026-01-01T00:00:00+00:00"
    assert whole.command == "resnet-bench run --seed 0"
    assert whole.spent_s == {"measuring": 6.0, "peaks": 3.0}
    assert whole.peaks is not None
    assert whole.peaks["cpu"]["2/fp32"].gflop_per_s == 70.0
    assert whole.shard is None


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ((1, 3), "shard 2/3 is missing of plan 3f9a1c20"),
        ((3,), "shards 1/3 and 2/3 are missing of plan 3f9a1c20"),
    ],
)
def test_missing_shards_are_named(numbers: Sequence[int], said: str) -> None:
    found, remarks = united([shard(number) for number in numbers])
    assert remarks == [said]
    assert len(found) == 1


def test_a_shard_that_is_there_twice_counts_once_by_its_fuller_run() -> None:
    crashed = [record(status="crashed", reason="killed", replicate=n) for n in range(5)]
    fuller = processes([1.0, 1.1, 1.2], batch_size=2)
    for rows in (crashed, processes([1.0], batch_size=2)):
        given = [shard(1), shard(2, rows, name="early"), shard(2, fuller, name="again"), shard(3)]
        [(_, every)], [remark] = united(given)
        assert len(every) == 7
        assert "shard 2/3 was given more than once and counts once: again of " in remark
        count = "1 row" if len(rows) == 1 else "5 rows"
        assert f"(3 rows) counts, early of None ({count}) does not" in remark
    copied, remarks = united([shard(1), shard(1), shard(2), shard(3)])
    assert len(copied[0][1]) == 6
    assert len(remarks) == 1


def test_shards_of_different_plans_stay_apart_and_one_line_says_in_what_they_differ() -> None:
    given = [shard(1), shard(2), shard(3, plan=OTHER, options={"steps": 9})]
    found, remarks = united(given)
    assert [each.run_id for each, _ in found] == ["plan 3f9a1c20", "sweep-3"]
    assert remarks == [
        "shards of 2 plans were given, which are no one run (1/3, 2/3 of 3f9a1c20; 3/3 of "
        "77c0ffee); they differ in steps",
        "shard 3/3 is missing of plan 3f9a1c20",
        "shards 1/3 and 2/3 are missing of plan 77c0ffee",
    ]


@pytest.mark.parametrize("other", ["machine", "commit", "packages"])
def test_shards_of_other_machines_code_or_packages_stay_runs_of_their_own(other: str) -> None:
    facts: dict[str, Any] = {**FAR, "commit": "abc", "packages": {"torch": "2"}}
    found, remarks = united([shard(1), shard(2, **{other: facts[other]}), shard(3)])
    assert remarks == []
    names = [each.run_id for each, _ in found]
    assert names == ["plan 3f9a1c20 on desk", "sweep-2"]
    assert [len(rows) for _, rows in found] == [4, 2]


FAR: dict[str, Any] = {
    "machine": {
        **{"machine": "far", "cpu": "Far CPU", "physical_cores": 1, "logical_cores": 2},
        **{"memory_gib": 8.0, "os": "Linux"},
    }
}


def test_a_plan_that_each_of_two_machines_measured_is_two_runs() -> None:
    there = [shard(number, name=f"far-{number}", **FAR) for number in (1, 2, 3)]
    here = [shard(number) for number in (3, 2, 1)]
    found, remarks = united([*there, *here])
    assert [run.run_id for run, _ in found] == ["plan 3f9a1c20 on far", "plan 3f9a1c20 on desk"]
    assert [[row.batch_size for row in rows] for _, rows in found] == [[1, 1, 2, 2, 3, 3]] * 2
    assert remarks == []
    _, remarks = united([*there[:2], *here])
    assert remarks == ["shard 3/3 is missing of plan 3f9a1c20 on far"]


def test_a_plan_that_was_measured_every_night_is_as_many_runs() -> None:
    nights = ["monday", "tuesday"]
    given = [
        shard(number, name=f"part-{number}", utc=f"2026-01-0{day}T00:00:0{number}+00:00")
        for day, _ in enumerate(nights, start=1)
        for number in (1, 2, 3)
    ]
    places = [Path(night) / f"part-{number}" for night in nights for number in (1, 2, 3)]
    found, remarks = united(given, places)
    assert [run.utc for run, _ in found] == [f"2026-01-0{day}T00:00:01+00:00" for day in (1, 2)]
    assert [len(rows) for _, rows in found] == [6, 6]
    assert remarks == []


def test_parts_of_several_plans_are_refused_and_whole_plans_are_not() -> None:
    other = [shard(number, plan=OTHER, options={"steps": 9}) for number in (1, 2, 3)]
    first, second, third = (shard(number)[0] for number in (1, 2, 3))
    others = [described for described, _ in other]
    check_one_plan([first, run()])
    check_one_plan([first, second, third, *others])
    with pytest.raises(UsageError, match=r"2 plans were given, .*differ in steps; give the shards"):
        check_one_plan([first, second, *others])


def test_whole_runs_keep_their_place_and_their_name() -> None:
    before, after = (run(run_id=name) for name in ("before", "after"))
    given: list[Source] = [(before, []), *map(shard, (1, 2, 3)), (after, [])]
    found, remarks = united(given)
    assert [each.run_id for each, _ in found] == ["before", "plan 3f9a1c20", "after"]
    assert remarks == []
    assert united([(before, processes([1.0], **JAX))]) == (
        [(before, processes([1.0], **JAX))],
        [],
    )


def test_a_number_beyond_the_count_is_no_shard() -> None:
    with pytest.raises(ValueError, match="there is no shard 4/3"):
        run(shard={"number": 4, "of": 3, "plan": PLAN})
