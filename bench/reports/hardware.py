"""The report's section on machines: the same contender on different hardware.

Hardware is a machine, its chip and the threads used of it. All else of a cell has to be equal to be
compared: contender, model, workload, precision, batch size, optimizer, recipe, weights (by the name
of their file, since folders differ from machine to machine), dataset, seed and steps.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.cells import CONTEST, Cell
from bench.groups import false_discovery_rates
from bench.rates import Rates, rate
from bench.records import Record
from bench.reports.text import details, escape, interval, number, table
from bench.statistics import CONFIDENCE, Comparison, unpaired
from bench.summary import Summary

SHARED = tuple(name for name in CONTEST if name not in ("device", "threads"))
OPEN = 12  # rows of a table that lies open

Run = Mapping[str, Any]
Column = Callable[[Summary], str]
Key = tuple["Hardware", Cell]

READING = """\
The same contender on different hardware: all else of the cells is equal but the number of threads.
Machines never ran side by side, so their ratios are **not paired**: intervals come from the scatter
of each machine's own processes (Welch), are wider than those within a contest, and know nothing of
what a machine did otherwise on that day. Verdicts account for the number of ratios in a table, and
differences below either machine's noise floor are ties. **Of peak** is against each machine's own
measured peak."""


@dataclass(frozen=True)
class Hardware:
    """A machine, the chip of it that did the work, and how much of that."""

    machine: str
    processor: str
    device: str
    threads: int | None

    def __str__(self) -> str:
        threads = f", {self.threads} thread{'s' * (self.threads > 1)}" if self.threads else ""
        return f"{self.machine} ({self.processor}{threads})"


def hardware(summary: Summary) -> Hardware:
    """Where a cell was measured."""
    r = _any(summary)
    return Hardware(r.machine, r.processor, r.device, r.threads)


def question(cell: Cell) -> tuple[Any, ...]:
    """What cells must share for their hardware to be compared, the contender apart."""
    shared = {name: getattr(cell, name) for name in SHARED}
    return tuple((shared | {"weights": cell.weights and Path(cell.weights).name}).values())


def section(contests: Sequence[Sequence[Summary]], runs: Sequence[Run]) -> str:
    """One table per question that several kinds of hardware answered; empty where there is none."""
    questions: dict[tuple[Any, ...], dict[Hardware, Sequence[Summary]]] = {}
    for contest in contests:
        place = questions.setdefault(question(contest[0].cell), {})
        place[hardware(contest[0])] = contest
    several = [on for on in questions.values() if len({_kind(each) for each in on}) > 1]
    if not several:
        return ""
    return "\n\n".join(["## Hardware", READING, *(_question(on, contests, runs) for on in several)])


def _question(
    on: Mapping[Hardware, Sequence[Summary]],
    contests: Sequence[Sequence[Summary]],
    runs: Sequence[Run],
) -> str:
    base = _baseline(on, contests, runs)
    cells = [s for contest in on.values() for s in contest]
    best = [contest[0] for contest in on.values()]
    at_best = _compared([(s, on[base][0]) for s in best] if base else [], runs)
    theirs = {s.cell.label: s for s in on[base]} if base else {}
    pairs = [(s, theirs[s.cell.label]) for s in cells if s.cell.label in theirs]
    alike = _compared(pairs, runs)
    rates = next((run["rates"] for run in runs if run.get("rates")), {})

    contenders = dict.fromkeys(s.cell.label for s in sorted(cells, key=_slowness))
    order = [s for label in contenders for s in cells if s.cell.label == label]
    columns = _columns(base, rates, cells)
    rows = _rows(order, columns, alike, base)
    every = table(["", "on", *columns], rows)
    cell = replace(best[0].cell, device="", threads=None)
    parts = [
        f"### {escape(cell.contest_label)}",
        "Each at its best, whatever is fastest there:",
        table(["", "on", *columns], _rows(sorted(best, key=_slowness), columns, at_best, base)),
        *_remarks(on, base),
        every if len(rows) <= OPEN else details(f"Every contender ({len(rows)} rows)", every),
    ]
    return "\n\n".join(parts)


def _baseline(
    on: Mapping[Hardware, Sequence[Summary]],
    contests: Sequence[Sequence[Summary]],
    runs: Sequence[Run],
) -> Hardware | None:
    """What was named, or else the first of all that was given; None where it has no part here."""
    named = next((run["baseline"] for run in runs if run.get("baseline")), None)
    first = hardware(contests[0][0])
    for each in on:
        if named in (each.machine, each.processor) or (named is None and each == first):
            return each
    return None if named else next(iter(on))


def _compared(
    pairs: Iterable[tuple[Summary, Summary]], runs: Sequence[Run]
) -> dict[Key, Comparison]:
    """Each first against its second, by the key of the first, with verdicts for so many."""
    floors = {run["run_id"]: run.get("noise_floor", {}) for run in runs}
    found: dict[Key, Comparison] = {}
    for ours, theirs in pairs:
        if ours is theirs:
            continue
        both = (*ours.records, *theirs.records)
        known = [floors.get(r.run_id, {}).get(r.device, {}).get("value") for r in both]
        floor = max((value for value in known if value), default=0.0)
        if comparison := unpaired(_speeds(ours), _speeds(theirs), floor):
            found[_key(ours)] = comparison
    sure = {key: c.p_value for key, c in found.items() if c.p_value is not None}
    rates = false_discovery_rates(list(sure.values()))
    for key, chance in zip(sure, rates, strict=True):
        if chance >= 1 - CONFIDENCE:
            found[key] = replace(found[key], verdict="tie")
    return found


def _columns(
    base: Hardware | None, rates: Rates, cells: Sequence[Summary]
) -> dict[str, Column | None]:
    """Title -> what it shows; None for those of the comparison with `base`."""
    columns: dict[str, Column | None] = {"images/s": _speed}
    if base:
        columns |= {f"against {base.machine}": None, "verdict": None}
    columns["of peak"] = lambda s: number(s.median("peak_fraction"), 2)
    if any(_joules(s, rates) for s in cells):
        columns["images/J"] = lambda s: _joules(s, rates) or "–"
    if any(_price(s, rates) for s in cells):
        columns["images per price"] = lambda s: _price(s, rates) or "–"
    return columns


def _rows(
    cells: Iterable[Summary],
    columns: Mapping[str, Column | None],
    compared: Mapping[Key, Comparison],
    base: Hardware | None,
) -> list[list[str]]:
    rows = []
    for s in cells:
        comparison = compared.get(_key(s))
        against = [interval(comparison.ratio, 2) if comparison else "–"]
        against.append((comparison and comparison.verdict) or "–")
        if base == hardware(s):
            against = ["1.00" if _speeds(s) else "–", "baseline"]
        shown = [column(s) if column else against.pop(0) for column in columns.values()]
        rows.append([s.cell.label, str(hardware(s)), *shown])
    return rows


def _speed(summary: Summary) -> str:
    """With its interval; where nothing was measured, what became of it."""
    if summary.throughput_images_per_s:
        return interval(summary.throughput_images_per_s)
    return summary.failures[0].status if summary.failures else "–"


def _joules(summary: Summary, rates: Rates) -> str | None:
    """By the energy that was measured, or else by the power that is stated."""
    measured, speed = summary.median("energy_j_per_image"), summary.throughput_images_per_s
    if measured:
        return f"{number(1 / measured, 2)} measured"
    power = rate(rates, _any(summary), "power_w")
    return f"{number(speed.value / power, 2)} at {power:g} W" if power and speed else None


def _price(summary: Summary, rates: Rates) -> str | None:
    price = rate(rates, _any(summary), "price_per_hour")
    if not price or not (speed := summary.throughput_images_per_s):
        return None
    return f"{number(speed.value * 3600 / price, 0)} / {rate(rates, _any(summary), 'currency')}"


def _remarks(on: Mapping[Hardware, Sequence[Summary]], base: Hardware | None) -> list[str]:
    """What makes the comparison less than one of hardware alone."""
    found = [] if base else ["The baseline asked for was not measured here."]
    packages: dict[str, dict[str, str]] = {}
    for each, contest in on.items():
        for r in (r for s in contest for r in s.records):
            for package, version in r.versions.items():
                packages.setdefault(package, {})[version] = each.machine
    unlike = [
        f"{package} " + ", ".join(f"{version} on {where}" for version, where in versions.items())
        for package, versions in sorted(packages.items())
        if len(versions) > 1
    ]
    if unlike:
        listed = escape("; ".join(unlike))
        found.append(f"**Versions differ**, so this is not hardware alone: {listed}.")
    rows = [r for contest in on.values() for s in contest for r in s.records]
    for what, field in (("initial weights", "weights_sha256"), ("batches", "data_sha256")):
        if len({getattr(r, field) for r in rows} - {None}) > 1:
            found.append(f"**Not the same work**: the {what} differ from machine to machine.")
    return found


def _key(summary: Summary) -> Key:
    return hardware(summary), summary.cell


def _speeds(summary: Summary) -> list[float]:
    return [s for r in summary.records if (s := r.throughput_images_per_s)]


def _slowness(summary: Summary) -> float:
    return -(e.value if (e := summary.throughput_images_per_s) else 0.0)


def _any(summary: Summary) -> Record:
    return (*summary.records, *summary.failures)[0]


def _kind(each: Hardware) -> tuple[str, ...]:
    return each.machine, each.processor, each.device
