"""Shards of one plan put together as the one run that they are; what is missing is named."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from bench.records.record import Record
from bench.records.run import Peak, Run, Shard
from bench.request.request import Request
from bench.words import plural

Source = tuple[Run, Sequence[Record]]
SHORT = 8  # characters of a plan's fingerprint that are shown
# May differ from machine to machine, though the plan is one
OF_A_MACHINE = ("data_dir", "load_weights", "largest_batches")


def united(sources: Iterable[Source]) -> tuple[list[Source], list[str]]:
    """The sources with shards of one plan as one run, and what does not fit together, a line each.

    Of a shard that is there twice that with more rows counts. Shards whose machines, code or
    packages differ stay runs of their own, since a run has one of each.
    """
    together: dict[str | int, list[Source]] = {}  # by plan; a whole run by its place
    for place, source in enumerate(sources):
        shard = source[0].shard
        together.setdefault(shard.plan if shard else place, []).append(source)
    plans = {plan: given for plan, given in together.items() if isinstance(plan, str)}
    found: list[Source] = []
    remarks = [_different(plans)] if len(plans) > 1 else []
    for plan, given in together.items():
        if isinstance(plan, int):
            found += given
            continue
        shards: dict[int, Source] = {}
        for source in sorted(given, key=_measured, reverse=True):
            counts = shards.setdefault(_shard(source).number, source)
            if counts is not source:
                remarks.append(_doubled(counts, source))
        remarks += _missing(plan, shards)
        found += _runs(plan, [shards[number] for number in sorted(shards)])
    return found, remarks


def _shard(source: Source) -> Shard:
    assert source[0].shard
    return source[0].shard


def _measured(source: Source) -> tuple[int, int]:
    """How much was measured: rows that are ok, and all."""
    return sum(row.status == "ok" for row in source[1]), len(source[1])


def _runs(plan: str, shards: Sequence[Source]) -> list[Source]:
    """One run for each machine, code and set of packages."""
    alike: dict[Any, list[Source]] = {}
    for source in shards:
        run, machine = source[0], source[0].machine
        chips = machine.machine, machine.cpu, machine.logical_cores, machine.gpu_names
        packages = tuple(sorted(run.packages.items()))
        alike.setdefault((chips, run.resnet_bench, run.commit, packages), []).append(source)
    found = []
    for (chips, *_), group in alike.items():
        where = f" on {chips[0]}" if len(alike) > 1 else ""
        found.append(_one(f"plan {plan[:SHORT]}{where}", group) if len(group) > 1 else group[0])
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


def _missing(plan: str, shards: Mapping[int, Source]) -> list[str]:
    of = _shard(next(iter(shards.values()))).of
    names = [f"{number}/{of}" for number in range(1, of + 1) if number not in shards]
    if not names:
        return []
    if len(names) == 1:
        return [f"shard {names[0]} is missing of plan {plan[:SHORT]}"]
    return [f"shards {', '.join(names[:-1])} and {names[-1]} are missing of plan {plan[:SHORT]}"]


def _different(plans: Mapping[str, Sequence[Source]]) -> str:
    """What the shards of each plan are called, and in what the requests differ."""
    told = []
    for plan, given in plans.items():
        shown = [_shard(source).name for source in given[:3]] + ["…"] * (len(given) > 3)
        told.append(f"{', '.join(shown)} of {plan[:SHORT]}")
    first, *others = (given[0][0].options for given in plans.values())
    names = [field.name for field in fields(Request) if field.name not in OF_A_MACHINE]
    other = [n for n in names if any(getattr(each, n) != getattr(first, n) for each in others)]
    if len({_shard(given[0]).of for given in plans.values()}) > 1:
        other.append("the number of shards")
    return (
        f"shards of {len(plans)} plans were given, which are no one run ({'; '.join(told)}); they "
        f"differ in {', '.join(other) or 'the version of resnet-bench, which cuts them'}"
    )
