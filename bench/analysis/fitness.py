"""Whether a run is fit to be published: what a reviewer would ask of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.analysis.attempts import counted
from bench.cells import Cell
from bench.records import EXPECTED, Record, Run
from bench.words import plural

PROCESSES = 3  # from which on intervals hold


@dataclass(frozen=True)
class Finding:
    """One question, its answer, and where that is no, what to do."""

    name: str
    fit: bool
    found: str
    remedy: str | None = None  # None where there is nothing to do


def findings(run: Run, records: Sequence[Record]) -> list[Finding]:
    """All that is asked of a run and its records; the run is fit where every answer is yes."""
    return [
        _code(run),
        _packages(run),
        _complete(records),
        _certified(records),
        _processes(counted(records)),
        _floor(run, records),
        _quiet(counted(records)),
    ]


def _found(name: str, problem: str, remedy: str, fine: str) -> Finding:
    return Finding(name, not problem, problem or fine, remedy if problem else None)


def _code(run: Run) -> Finding:
    commit = run.commit
    problem = "" if commit else f"the commit is not known, only version {run.resnet_bench}"
    if commit and commit.endswith("-dirty"):
        problem = f"the code was changed after commit {commit.removesuffix('-dirty')}"
    return _found(
        "code",
        problem,
        "commit all changes, and run from a checkout",
        f"commit {commit}, unchanged",
    )


def _packages(run: Run) -> Finding:
    problem = "" if run.packages else "run.json does not list the installed packages"
    fine = f"{plural(len(run.packages), 'installed package')} listed"
    return _found("packages", problem, "run it again by this version of resnet-bench", fine)


def _complete(records: Sequence[Record]) -> Finding:
    failed = [row for row in records if row.status not in ("ok", *EXPECTED)]
    problem = "" if records else "nothing was measured"
    if failed:
        first = failed[0]
        what = f"{first.cell.label} {first.cell.contest_label}: {first.status}: {first.reason}"
        problem = f"{len(failed)} of {plural(len(records), 'row')} failed, the first: {what}"
    left_out = sum(row.status in EXPECTED for row in records)
    fine = plural(len(records), "row") + (f", {left_out} of what cannot run here" * bool(left_out))
    remedy = "mend what failed, or leave it out of the run"
    return _found("complete", problem, remedy, f"{fine}, none failed")


def _certified(records: Sequence[Record]) -> Finding:
    measured = [row for row in records if row.status == "ok"]
    without = [row for row in measured if not _passed(row)]
    cells = _cells(without)
    problem = f"{_listed(cells)} without a passed certificate" if cells else ""
    fine = f"all {plural(len(_cells(measured)), 'cell')} passed both halves"
    return _found("certified", problem, "run without --no-certify", fine)


def _passed(row: Record) -> bool:
    halves = (row.certificate_float64, row.certificate_timed)
    return all(half is not None and half.startswith("passed") for half in halves)


def _processes(records: Sequence[Record]) -> Finding:
    counts: dict[Cell, int] = {}
    for row in records:
        if row.status == "ok":
            counts[row.cell] = counts.get(row.cell, 0) + 1
    few = [cell for cell, count in counts.items() if count < PROCESSES]
    least = min(counts.values(), default=0)
    problem = f"{_listed(few)} measured by fewer than {PROCESSES} processes" if few else ""
    if not counts:
        problem = "no process was measured"
    return _found(
        "processes",
        problem,
        f"run with --replicates {PROCESSES} or more",
        f"{plural(least, 'process')} or more per cell",
    )


def _floor(run: Run, records: Sequence[Record]) -> Finding:
    devices = dict.fromkeys(row.device for row in records if row.status == "ok")
    unknown = [device for device in devices if device not in run.noise_floor]
    floors = ", ".join(
        f"{100 * run.noise_floor[device].value:.1f} % on {device}"
        for device in devices
        if device in run.noise_floor
    )
    problem = f"not known of {', '.join(unknown)}" if unknown else ""
    return _found("noise floor", problem, "resnet-bench doctor --aa, and run again", floors)


def _quiet(records: Sequence[Record]) -> Finding:
    measured = [row for row in records if row.status == "ok"]
    busy = [row for row in measured if row.busy]
    unknown = sum(row.busy is None for row in measured)
    problem = ""
    if busy:
        parts = f"{len(busy)} of {plural(len(measured), 'row')}"
        problem = f"{parts} ran while others took much of the machine: {_listed(_cells(busy))}"
    fine = "no row ran on a busy machine" + f" ({unknown} not known)" * bool(unknown)
    remedy = "stop other programs, and run again; or have it tried again, by --remeasure-busy 2"
    return _found("quiet", problem, remedy, fine)


def _cells(records: Sequence[Record]) -> list[Cell]:
    return list(dict.fromkeys(row.cell for row in records))


def _listed(cells: Sequence[Cell]) -> str:
    """The first cells by name, and how many more there are."""
    shown = "; ".join(f"{cell.label} {cell.contest_label}" for cell in cells[:3])
    return shown + (f" and {plural(len(cells) - 3, 'more cell')}" if len(cells) > 3 else "")
