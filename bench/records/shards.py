"""Shards of one plan put together as the one run that they are; what is missing is named."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from bench.errors import UsageError
from bench.records.record import Record
from bench.records.run import Peak, Run, Shard
from bench.request.request import Request
from bench.words import plural

Source = tuple[Run, Sequence[Record]]
Chips = tuple[str, str, int | None, str]  # machine's name, CPU, logical cores, GPUs
SHORT = 8  # characters of a plan's fingerprint that are shown
# May differ from machine to machine, though the plan is one
OF_A_MACHINE = ("data_dir", "load_weights", "largest_batches")


def united(
    sources: Iterable[Source], folders: Sequence[Path] | None = None
) -> tuple[list[Source], list[str]]:
    """The sources with shards of one plan as one run, and what does not fit together, a line each.

    Of a shard that is there twice that with more rows counts, unless each kind of machine has
    measured the whole plan. Shards whose machines, code or packages differ stay runs of their own,
    since a run has one of each. Where a plan may have been measured many times, as in a history,
    give the `folders` of the sources: only shards that lie in one folder are of one run.
    """
    together: dict[Any, list[Source]] = {}  # by plan and folder; a whole run by its place
    for place, source in enumerate(sources):
        shard = source[0].shard
        within = folders[place].absolute().parent if folders else None
        together.setdefault((shard.plan, within) if shard else place, []).append(source)
    found: list[Source] = []
    sharded = [given for given in together.values() if given[0][0].shard]
    different = "" if folders else _different(sharded)
    remarks = [different] if different else []
    for given in together.values():
        if not given[0][0].shard:
            found += given
            continue
        shards: dict[tuple[Chips, int], Source] = {}
        for source in sorted(given, key=_measured, reverse=True):
            counts = shards.setdefault((_chips(source[0]), _shard(source).number), source)
            if counts is not source:
                remarks.append(_doubled(counts, source))
        remarks += _missing(shards)
        machines = list(dict.fromkeys(_chips(run) for run, _ in given))
        order = sorted(shards, key=lambda each: (machines.index(each[0]), each[1]))
        found += _runs([shards[each] for each in order])
    return found, remarks


def check_one_plan(sources: Iterable[Source]) -> None:
    """Raises UsageError for parts of several plans: no report of theirs would be of one run."""
    plans: dict[str, list[Source]] = {}
    for source in sources:
        if source[0].shard:
            plans.setdefault(source[0].shard.plan, []).append(source)
    if different := _different(plans.values()):
        raise UsageError(f"{different}; give the shards of one plan")


def _chips(run: Run) -> Chips:
    """What a machine is, as far as its rows are told apart by it."""
    machine = run.machine
    return machine.machine, machine.cpu, machine.logical_cores, machine.gpu_names


def _shard(source: Source) -> Shard:
    assert source[0].shard
    return source[0].shard


def _measured(source: Source) -> tuple[int, int]:
    """How much was measured: rows that are ok, and all."""
    return sum(row.status == "ok" for row in source[1]), len(source[1])


def _runs(shards: Sequence[Source]) -> list[Source]:
    """One run for each machine, code and set of packages."""
    alike: dict[Any, list[Source]] = {}
    for source in shards:
        run = source[0]
        packages = tuple(sorted(run.packages.items()))
        key = _chips(run), run.resnet_bench, run.commit, packages
        alike.setdefault(key, []).append(source)
    name = f"plan {_shard(shards[0]).plan[:SHORT]}"
    found = []
    for (chips, *_), group in alike.items():
        where = f" on {chips[0]}" if len(alike) > 1 else ""
        found.append(_one(f"{name}{where}", group) if len(group) > 1 else group[0])
    return found


def _one(name: str, shards: Sequence[Source]) -> Source:
    """The run of several shards, with the sum of their times and the best of their peaks."""
    runs = [run for run, _ in shards]
    first = runs[0]
    spent_s: dict[str, float] = {}
    batches: dict[str, int] = {}
    for run in runs:
        batches |= run.options.largest_batches
        for part, seconds in run.spent_s.items():
            spent_s[part] = spent_s.get(part, 0.0) + seconds
    whole = replace(
        first,
        run_id=name,
        utc=min((run.utc for run in runs if run.utc), default=None),
        command=re.sub(r" --shard[ =]\S+", "", first.command),
        options=replace(first.options, largest_batches=batches),
        peaks=_fastest(runs),
        spent_s=spent_s,
        shard=None,
    )
    return whole, [replace(row, run_id=name) for _, rows in shards for row in rows]


def _fastest(runs: Iterable[Run]) -> Mapping[str, Mapping[str, Peak]] | None:
    """Of the peaks that each shard has measured on the same machine the highest."""
    best: dict[str, dict[str, Peak]] = {}
    for device, table in (item for run in runs for item in (run.peaks or {}).items()):
        known = best.setdefault(device, {})
        for name, peak in table.items():
            if name not in known or peak.gflop_per_s > known[name].gflop_per_s:
                known[name] = peak
    return best or None


def _doubled(counts: Source, other: Source) -> str:
    """Of one shard, that counts which has more rows."""
    kept, dropped = (
        f"{run.run_id} of {run.utc} ({plural(len(rows), 'row')})" for run, rows in (counts, other)
    )
    return (
        f"shard {_shard(counts).name} was given more than once and counts once: {kept} counts, "
        f"{dropped} does not"
    )


def _missing(shards: Mapping[tuple[Chips, int], Source]) -> list[str]:
    """The shards that nobody has; those that a machine lacks, where several measured the plan."""
    shard = _shard(next(iter(shards.values())))
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
        if names:
            what = f"shards {', '.join(names[:-1])} and {names[-1]} are"
            what = what if len(names) > 1 else f"shard {names[0]} is"
            remarks.append(f"{what} missing of plan {shard.plan[:SHORT]}{where}")
    return remarks


def _different(plans: Iterable[Sequence[Source]]) -> str:
    """What the shards of each plan are called, and in what the requests differ; empty where there
    are no parts of several plans, but whole ones.
    """
    told, firsts, partial = [], [], False
    for given in plans:
        shards = [_shard(source) for source in given]
        partial |= len({each.number for each in shards}) < shards[0].of
        shown = [each.name for each in shards[:3]] + ["…"] * (len(given) > 3)
        told.append(f"{', '.join(shown)} of {shards[0].plan[:SHORT]}")
        firsts.append(given[0][0])
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
