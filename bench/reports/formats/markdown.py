"""`report.md`: the answer first, then the tables that carry it, then how to repeat it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bench.analysis.contests import summarise
from bench.records import Record
from bench.reports.answer import FEW, heading, opening
from bench.reports.sections import (
    abstraction,
    article,
    cold_start,
    fairness,
    hardware,
    inputs,
    precision,
    roofline,
)
from bench.reports.sections import around_blocks as state
from bench.reports.sections import ranking as contest
from bench.reports.text import code, code_version, details, escape, folded, table

# Options that a run fills in by its profile and machine
FILLED = ("device", "threads", "batch_size", "steps", "replicates")
MANY = 8  # rows of a table that lies open in the later sections


def render(records: Sequence[Record], runs: Sequence[Mapping[str, Any]]) -> str:
    """The report of one run, or of several merged.

    Beside what `run.json` holds, each of `runs` may have `remarks` on the merging, the `rates` of
    machines and the `baseline` that others are held against, as `report` adds them.
    """
    contests = summarise(records, runs)
    many = len(contests) > FEW
    sections = [
        "# " + escape(", ".join(run["run_id"] for run in runs)),
        _begun(runs),
        opening(contests),
        contest.overview(contests) if many else "",
        _look_out(runs),
        hardware.section(contests, runs),
    ]
    if many:
        sections.append("## Rankings")
    sections += [contest.section(each, heading(each, contests), fold=many) for each in contests]
    failures = [(heading(each, contests), r) for each in contests for s in each for r in s.failures]
    if failures:
        sections.append("## Not ranked\n\n" + _failures(failures))
    sections.append("## Machine and versions\n\n" + _machines(records, runs))
    appendix = [
        precision.target(records, runs),
        precision.noise_floor(records, runs),
        inputs.section(contests),
        abstraction.section(contests, runs),
        cold_start.section(contests),
        roofline.section(contests, runs),
        "## Certificates\n\n" + _certificates(records),
        *article.sections(records),
        "## Same work\n\n" + _same_work(records),
        "## Settings in force\n\n" + fairness.section(contests),
        state.section(contests),
    ]
    sections += [folded(section) for section in appendix]
    sections.append("## How to read this\n\n" + READING)
    sections.append("## Repeat it\n\n" + code("\n".join(map(_command, runs))))
    return "\n\n".join(filter(None, sections)) + "\n"


READING = """\
- **images/s** is the batch size over the median block's time per step; the brackets hold its 95 %
  interval across processes. First step and warm-up are not in it.
- **against fastest** is the ratio of speeds, from blocks that ran in the same rounds: a drift of
  the machine that hits both cancels, so its interval is the one to trust. A *tie* is a difference
  that may be chance: the interval holds 1, or only just leaves it out where so many rows are
  compared, or the difference is below the machine's noise floor. With a single process there is no
  interval and no verdict. Rows are in the order of these ratios, not of images/s.
- **group**: rows that share a letter cannot be told apart, each compared with each. Of all the
  differences that letters and verdicts state, 5 % are expected to be chance.
- **certificate** says whether the row was proved to compute the reference's function, in float64
  and as it was timed; rows that fail are not ranked.
- **cold start** is import, build, first step and warm-up together; the **first step** holds the
  compilation, where there is any.
- **latency ms** is the median time of single steps, each awaited before the next begins, in turns
  of their own after the blocks, when the machine may be faster; **p95** and **p99** are left out
  where there are under 20 and 100 of them.
- **host peak** is the worker's largest resident memory, **at set-up** what it held before the first
  step."""


def _begun(runs: Sequence[Mapping[str, Any]]) -> str:
    """When each run began, by which code, and in how many processes, as far as that is known."""
    told = [(run["run_id"], ", ".join(_circumstances(run))) for run in runs]
    if len(told) == 1:
        return escape(told[0][1][:1].upper() + told[0][1][1:])
    return "\n".join(f"- {escape(name)}: {escape(text)}" for name, text in told if text)


def _circumstances(run: Mapping[str, Any]) -> list[str]:
    parts = []
    if "utc" in run:
        parts.append(f"begun {run['utc'][:16].replace('T', ' ')} UTC")
    if version := code_version(run):
        parts.append(f"resnet-bench {version}")
    if replicates := run["options"].get("replicates"):
        least = "at least " if run["options"].get("precision_target") else ""
        parts.append(f"{least}{replicates} process{'es' * (replicates > 1)} per cell")
    return parts


def _command(run: Mapping[str, Any]) -> str:
    """The command of a run, and as a comment what it left to this version and machine."""
    asked, command = run["options"], str(run["command"])
    filled = []
    for name in FILLED:
        flag, value = f"--{name.replace('_', '-')}", asked.get(name)
        if name == "steps" and "train-to" in (asked.get("workload") or ()):
            continue  # its cells have a cap of their own
        if value is not None and flag not in command:  # also of pytest, which quotes it
            told = value if isinstance(value, list) else [value]
            filled.append(f"{flag} {' '.join(map(str, told))}")
    return f"{command}  # there: {' '.join(filled)}" if filled else command


def _look_out(runs: Sequence[Mapping[str, Any]]) -> str:
    """What there is to say of the runs that were merged."""
    remarks = dict.fromkeys(line for run in runs for line in run.get("remarks", ()))
    return "\n".join(f"- **Look out**: {escape(line)}." for line in remarks)


def _failures(records: Iterable[tuple[str, Record]]) -> str:
    """One row for each reason of each cell; where they are many, below their number."""
    processes: dict[tuple[str, ...], list[str]] = {}
    for contest_name, r in records:
        what = (r.cell.label, contest_name, r.status, r.reason or "–")
        processes.setdefault(what, []).append(str(r.replicate))
    rows = [
        [label, cell, ", ".join(which), status, reason]
        for (label, cell, status, reason), which in processes.items()
    ]
    listed = table(["", "cell", "process", "status", "reason"], rows)
    if len(rows) <= MANY:
        return listed
    counts = Counter(status for _, _, _, status, _ in rows)
    stated = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    return f"{len(rows)} cells: {stated}.\n\n{details('Each with its reason', listed)}"


def _certificates(records: Iterable[Record]) -> str:
    """What was proved of each executable that was measured."""
    verdicts: dict[tuple[str, ...], None] = {}  # several of an executable, of different runs
    for r in records:
        if r.status in ("ok", "uncertified"):
            name = f"{r.cell.label} {r.model} {r.device} {r.precision} {r.optimizer or '–'}"
            halves = (r.certificate_float64, r.certificate_timed)
            verdicts[(name, *(half or "not certified" for half in halves))] = None
    rows = [list(verdict) for verdict in verdicts]
    note = (
        "Whether an executable computes the reference's function: in float64, where rounding hides "
        "nothing, and as it is timed."
    )
    passed = [row for row in rows if row[1:] == ["passed", "passed"]]
    others = [row for row in rows if row not in passed]
    header = ["", "float64", "as timed"]
    parts = [note]
    if others or not passed:
        parts.append(table(header, others))
    if passed:
        listed = table(header, passed)
        title = f"{len(passed)} passed both"
        parts.append(listed if len(rows) <= MANY else details(title, listed))
    return "\n\n".join(parts)


def _same_work(records: Sequence[Record]) -> str:
    """Whether rows that are compared began from the same bytes."""
    contests: dict[tuple[Any, ...], list[Record]] = {}
    for r in records:
        if r.status == "ok":
            contests.setdefault((*r.cell.contest, r.weights_seed), []).append(r)
    lines = []
    for rows in contests.values():
        label = replace(rows[0].cell, seed=rows[0].weights_seed).contest_label
        found = []
        for what, field in (("initial weights", "weights_sha256"), ("batches", "data_sha256")):
            prints = {getattr(r, field) for r in rows}
            if None in prints:
                same = "unknown"
            elif len(prints) == 1:
                same = f"the same in all {len(rows)} processes ({prints.pop()[:12]})"
            else:
                same = f"**DIFFERENT** ({', '.join(sorted(p[:12] for p in prints))})"
            found.append(f"{what} {same}")
        lines.append(f"- {escape(label)}: {', '.join(found)}")
    return "\n".join(lines) or "Nothing was measured."


def _machines(records: Sequence[Record], runs: Sequence[Mapping[str, Any]]) -> str:
    lines = []
    for run in runs:
        machine = run["machine"]
        gpus = ", ".join(f"{g['name']} ({g['memory_gib']} GiB)" for g in machine["gpus"]) or "none"
        lines.append(
            f"- {escape(machine['machine'])}: {escape(machine['cpu'])}, "
            f"{machine['physical_cores']} cores ({machine['logical_cores']} logical), "
            f"{machine['memory_gib']} GiB, GPU {escape(gpus)}; {escape(machine['os'])}"
        )
    versions: dict[str, set[str]] = {}
    for record in records:
        for package, version in record.versions.items():
            versions.setdefault(package, set()).add(version)
    if ours := {name for run in runs if (name := code_version(run))}:
        versions["resnet-bench"] = ours
    stated = ", ".join(f"{name} {' / '.join(sorted(versions[name]))}" for name in sorted(versions))
    return "\n".join([*lines, *([f"- {escape(stated)}"] if stated else [])])
