"""Shards of one plan put together as the one run that they are; what is missing is named."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from bench.errors import UsageError
from bench.records.record import Record
from bench.records.run import Peak, Run, Shard
from bench.records.versions import unlike_runs
from bench.request.request import Request
from bench.words import listed, plural

Source = tuple[Run, Sequence[Record]]
Chips = tuple[str, str, int | None, str]  # machine's name, CPU, logical cores, GPUs
NAMED = 20  # shards that a line names
SHORT = 8  # characters of a plan's fingerprint that are shown
# May differ from machine to machine, though the plan is one
OF_A_MACHINE = ("data_dir", "load_weights", "largest_batches")


@dataclass(frozen=True)
class Size:
    """How much a run has measured."""

    ok: int  # rows that are ok
    rows: int  # all


@dataclass(frozen=True)
class Pool:
    """A run, whole or put together of shards."""

    run: Run
    places: tuple[int, ...]  # of the runs that it is made of, among those given
    whole: bool  # it is one of them, unchanged


@dataclass(frozen=True)
class _Given:
    """A run that was given, at its place."""

    place: int
    run: Run
    size: Size

    @property
    def shard(self) -> Shard:
        assert self.run.shard
        return self.run.shard


def united(
    sources: Iterable[Source], folders: Sequence[Path] | None = None
) -> tuple[list[Source], list[str]]:
    """The sources with shards of one plan as one run, and what does not fit together, a line each:
    as `pooled` has them.
    """
    given = list(sources)
    sizes = [Size(sum(row.status == "ok" for row in rows), len(rows)) for _, rows in given]
    pools, remarks = pooled([run for run, _ in given], sizes, folders)
    return [_source(pool, given) for pool in pools], remarks


def _source(pool: Pool, given: Sequence[Source]) -> Source:
    """A pool with its records, which are of its run then."""
    if pool.whole:
        return given[pool.places[0]]
    rows = (row for place in pool.places for row in given[place][1])
    return pool.run, [replace(row, run_id=pool.run.run_id) for row in rows]


def pooled(
    runs: Sequence[Run], sizes: Sequence[Size], folders: Sequence[Path] | None = None
) -> tuple[list[Pool], list[str]]:
    """The runs with shards of one plan as one, and what does not fit together, a line each.

    Of a shard that is there twice that with more rows counts, unless each kind of machine has
    measured the whole plan. Shards whose machines, code or packages differ stay runs of their own,
    since a run has one of each. Where a plan may have been measured many times, as in a history,
    give the `folders` of the runs: only shards that lie in one folder are of one run.
    """
    together: dict[Any, list[_Given]] = {}  # by plan and folder; a whole run by its place
    for place, (run, size) in enumerate(zip(runs, sizes, strict=True)):
        within = folders[place].absolute().parent if folders else None
        key = (run.shard.plan, within) if run.shard else place
        together.setdefault(key, []).append(_Given(place, run, size))
    sharded = [[each.run for each in given] for given in together.values() if given[0].run.shard]
    different = "" if folders else _different(sharded)
    found: list[Pool] = []
    remarks = [different] if different else []
    for given in together.values():
        if not given[0].run.shard:
            found += [Pool(each.run, (each.place,), whole=True) for each in given]
            continue
        shards: dict[tuple[Chips, int], _Given] = {}
        for each in sorted(given, key=lambda one: (one.size.ok, one.size.rows), reverse=True):
            counts = shards.setdefault((_chips(each.run), each.shard.number), each)
            if counts is not each:
                remarks.append(_doubled(counts, each))
        remarks += _missing(shards)
        if other := unlike_runs([each.run for each in shards.values()]):
            plan = given[0].shard.plan[:SHORT]
            remarks.append(f"shards of plan {plan} were measured by different versions: {other}")
        machines = {chips: n for n, chips in enumerate(dict.fromkeys(_chips(g.run) for g in given))}
        order = sorted(shards, key=lambda each: (machines[each[0]], each[1]))
        found += _runs([shards[each] for each in order])
    return found, remarks


def check_one_plan(runs: Iterable[Run]) -> None:
    """Raises UsageError for parts of several plans: no report of theirs would be of one run."""
    plans: dict[str, list[Run]] = {}
    for run in runs:
        if run.shard:
            plans.setdefault(run.shard.plan, []).append(run)
    if different := _different(plans.values()):
        raise UsageError(f"{different}; give the shards of one plan")


def _chips(run: Run) -> Chips:
    """What a machine is, as far as its rows are told apart by it."""
    machine = run.machine
    return machine.machine, machine.cpu, machine.logical_cores, machine.gpu_names


def _runs(shards: Sequence[_Given]) -> list[Pool]:
    """One run for each machine, code and set of packages."""
    alike: dict[Any, list[_Given]] = {}
    for each in shards:
        run = each.run
        packages = tuple(sorted(run.packages.items()))
        key = _chips(run), run.resnet_bench, run.commit, packages
        alike.setdefault(key, []).append(each)
    name = f"plan {shards[0].shard.plan[:SHORT]}"
    found = []
    for (chips, *_), group in alike.items():
        where = f" on {chips[0]}" if len(alike) > 1 else ""
        places = tuple(each.place for each in group)
        alone = len(group) == 1
        run = group[0].run if alone else _one(f"{name}{where}", [each.run for each in group])
        found.append(Pool(run, places, whole=alone))
    return found


def _one(name: str, runs: Sequence[Run]) -> Run:
    """The run of several shards, with the sum of their times and the best of their peaks."""
    first = runs[0]
    spent_s: dict[str, float] = {}
    batches: dict[str, int] = {}
    for run in runs:
        batches |= run.options.largest_batches
        for part, seconds in run.spent_s.items():
            spent_s[part] = spent_s.get(part, 0.0) + seconds
    return replace(
        first,
        run_id=name,
        utc=min((run.utc for run in runs if run.utc), default=None),
        command=re.sub(r" --shard[ =]\S+", "", first.command),
        options=replace(first.options, largest_batches=batches),
        peaks=_fastest(runs),
        spent_s=spent_s,
        shard=None,
    )


def _fastest(runs: Iterable[Run]) -> Mapping[str, Mapping[str, Peak]] | None:
    """Of the peaks that each shard has measured on the same machine the highest."""
    best: dict[str, dict[str, Peak]] = {}
    for device, table in (item for run in runs for item in (run.peaks or {}).items()):
        known = best.setdefault(device, {})
        for name, peak in table.items():
            if name not in known or peak.gflop_per_s > known[name].gflop_per_s:
                known[name] = peak
    return best or None


def _doubled(counts: _Given, other: _Given) -> str:
    """Of one shard, that counts which has more rows."""
    kept, dropped = (
        f"{each.run.run_id} of {each.run.utc} ({plural(each.size.rows, 'row')})"
        for each in (counts, other)
    )
    return (
        f"shard {counts.shard.name} was given more than once and counts once: {kept} counts, "
        f"{dropped} does not"
    )


def _missing(shards: Mapping[tuple[Chips, int], _Given]) -> list[str]:
    """The shards that nobody has; those that a machine lacks, where several measured the plan."""
    shard = next(iter(shards.values())).shard
    by_machine: dict[Chips, set[int]] = {}
    for machine, number in shards:
        by_machine.setdefault(machine, set()).add(number)
    repeated = len(shards) > len({number for _, number in shards})
    there = by_machine.values() if repeated else [{number for _, number in shards}]
    remarks = []
    for (name, *_), numbers in zip(by_machine, there, strict=False):
        where = f" on {name}" if repeated else ""
        names = [
            f"{number}/{shard.of}" for number in range(1, shard.of + 1) if number not in numbers
        ]
        if len(names) > NAMED:
            names = [*names[:NAMED], f"{len(names) - NAMED} more"]
        if names:
            what = f"shards {listed(names)} are" if len(names) > 1 else f"shard {names[0]} is"
            remarks.append(f"{what} missing of plan {shard.plan[:SHORT]}{where}")
    return remarks


def _different(plans: Iterable[Sequence[Run]]) -> str:
    """What the shards of each plan are called, and in what the requests differ; empty where there
    are no parts of several plans, but whole ones.
    """
    told, firsts, partial = [], [], False
    for given in plans:
        shards = [run.shard for run in given if run.shard]
        partial |= len({each.number for each in shards}) < shards[0].of
        shown = [each.name for each in shards[:3]] + ["…"] * (len(given) > 3)
        told.append(f"{', '.join(shown)} of {shards[0].plan[:SHORT]}")
        firsts.append(given[0])
    if len(told) < 2 or not partial:
        return ""
    first, *others = (run.options for run in firsts)
    names = [field.name for field in fields(Request) if field.name not in OF_A_MACHINE]
    other = [n for n in names if any(getattr(each, n) != getattr(first, n) for each in others)]
    if len({run.shard.of for run in firsts if run.shard}) > 1:
        other.append("the number of shards")
    return (
        f"shards of {len(told)} plans were given, which are no one run ({'; '.join(told)}); they "
        f"differ in {', '.join(other) or 'the version of resnet-bench, which cuts them'}"
    )
