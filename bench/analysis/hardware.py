"""The same contender on different hardware: what may be compared, and how it compares.

Hardware is a machine, its chip and the threads used of it. All else of a cell has to be equal to be
compared: contender, model, workload, precision, batch size, optimizer, recipe, weights (those of a
file by their fingerprint, since folders differ from machine to machine), dataset, seed and steps.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.analysis.contests import Contest, Summary
from bench.analysis.groups import judged_together
from bench.analysis.ranking import floor_of
from bench.analysis.statistics import Comparison
from bench.analysis.unpaired import speed_ratio
from bench.cells import CONTEST, Cell
from bench.records import Run
from bench.words import plural

SHARED = tuple(name for name in CONTEST if name not in ("device", "threads"))


@dataclass(frozen=True)
class Hardware:
    """A machine, the chip of it that did the work, and how much of that."""

    machine: str
    processor: str
    device: str
    threads: int | None

    def __str__(self) -> str:
        threads = f", {plural(self.threads, 'thread')}" if self.threads else ""
        return f"{self.machine} ({self.processor}{threads})"

    @property
    def kind(self) -> tuple[str, str, str]:
        """Without the threads: what differs in them alone is one machine, used less or more."""
        return self.machine, self.processor, self.device


Question = dict[Hardware, Contest]  # the contests that differ in their hardware alone
Key = tuple[Hardware, Cell]


def hardware(of: Summary | Contest) -> Hardware:
    """Where a cell, or all cells of a contest, were measured."""
    return Hardware(of.machine, of.processor, of.cell.device, of.cell.threads)


def key(summary: Summary) -> Key:
    """What a cell is known by among several machines."""
    return hardware(summary), summary.cell


def questions(contests: Iterable[Contest]) -> list[Question]:
    """Contests that differ in their hardware alone, where they do and anything was measured."""
    found: dict[tuple[Any, ...], Question] = {}
    for contest in contests:
        found.setdefault(_shared(contest), {}).setdefault(hardware(contest), contest)
    return [
        on
        for on in found.values()
        if len({each.kind for each in on}) > 1
        and any(contest.fastest.records for contest in on.values())
    ]


def _shared(contest: Contest) -> tuple[Any, ...]:
    cell = contest.cell
    shared = {name: getattr(cell, name) for name in SHARED}
    if cell.weights:
        prints = (record.weights_sha256 for record in contest.records)
        shared["weights"] = next(filter(None, prints), Path(cell.weights).name)
    return tuple(shared.values())


def baseline(on: Question, first: Hardware, named: str | None) -> Hardware | None:
    """The hardware that others are held against: that whose machine or processor is `named`, or
    else the `first` of the report. None where what is named was not measured here.
    """
    for each in on:
        if named in (each.machine, each.processor) or (named is None and each == first):
            return each
    return None if named else next(iter(on))


def compared(
    pairs: Iterable[tuple[Summary, Summary]], runs: Iterable[Run]
) -> dict[Key, Comparison]:
    """Each first against its second, by the key of the first, with verdicts for so many.

    What is below the larger noise floor of both, as their `runs` know it, is a tie.
    """
    runs = list(runs)
    found: dict[Key, Comparison] = {}
    for ours, theirs in pairs:
        if ours is theirs:
            continue
        sides = speeds(ours), speeds(theirs)
        if not all(sides):  # such as a contender that one of the machines does not have
            continue
        floor = floor_of((*ours.records, *theirs.records), runs)(min(map(len, sides)))
        if comparison := speed_ratio(*sides, floor):
            found[key(ours)] = comparison
    return judged_together(found)


def speeds(summary: Summary) -> list[float]:
    """Images per second of each process that has them; of training to a target, how many times it
    would be reached in a second, nothing where a process did not get there.
    """
    if summary.cell.target_accuracy is None:
        return [s for r in summary.records if (s := r.throughput_images_per_s)]
    times = [r.reached_train_s for r in summary.records if r.reached_train_s]
    return [1 / seconds for seconds in times] if summary.seconds_to_target else []
