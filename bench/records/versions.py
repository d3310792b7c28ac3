"""Versions that differ between machines which share a plan: said before, and with the report."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.errors import UsageError
from bench.records.folder import RunFolder
from bench.records.run import Run
from bench.words import listed, plural

NAMED = 3  # packages that a line names
Versions = Mapping[str, str]  # by name of a package


def versions(run: Run) -> Versions:
    """Of all that a run was measured by, as far as it says."""
    own = {"resnet-bench": run.code_version, "Python": run.machine.python}
    return {name: version for name, version in own.items() if version} | dict(run.packages)


def unlike(found: Mapping[str, Versions], where: str = "in") -> str:
    """`torch 2.13.0 in part-1 and 2 others, 2.14.1 in part-4`: what differs between places; empty
    where nothing does.
    """
    names = dict.fromkeys(name for each in found.values() for name in each)
    lines = []
    for name in names:
        places: dict[str, list[str]] = {}
        for place, known in found.items():
            places.setdefault(known.get(name, "missing"), []).append(place)
        if len(places) > 1:
            lines.append(
                f"{name} " + ", ".join(f"{v} {where} {_few(of)}" for v, of in places.items())
            )
    more = [f"{plural(len(lines) - NAMED, 'other package')}"] if len(lines) > NAMED else []
    return "; ".join([*lines[:NAMED], *more])


def unlike_runs(runs: Sequence[Run]) -> str:
    """The same of runs; those count that list their packages."""
    return unlike({run.run_id: versions(run) for run in runs if run.packages})


def beside(path: Path, run: Run) -> str:
    """The same of a shard that is about to be measured in `path`, and the shards of its plan in the
    folders beside it, where a shared file system has them.
    """
    others = []
    for other in sorted(path.absolute().parent.glob("*/run.json")):
        try:
            known = RunFolder.open(other.parent).run
        except UsageError:  # damaged, or of another version: the report says so
            continue
        if run.shard and known.shard and known.shard.plan == run.shard.plan:
            others.append(known)
    return unlike_runs([run, *(each for each in others if each.run_id != run.run_id)])


def _few(places: Sequence[str]) -> str:
    return listed([places[0], plural(len(places) - 1, "other")]) if places[1:] else places[0]
