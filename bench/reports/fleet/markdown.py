"""`report.md` of very many records: counts, fleets, what stands out; all rows are in the CSV."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from bench.analysis.fleet import DEVIATIONS, LEAST, UNLIKE, Kind, Spread
from bench.analysis.hardware import Hardware
from bench.records import Run
from bench.reports.answer import WORKLOADS
from bench.reports.fleet.tally import SHOWN, Tally
from bench.reports.sections.around_blocks import KINDS
from bench.reports.text import details, escape, number, table
from bench.words import plural

NAMED = 20  # nodes, cells, reasons of a list
MOST_KINDS = 12  # columns of the matrix


@dataclass(frozen=True)
class FleetReport:
    """What was counted of all records, and of which runs they are."""

    tally: Tally
    runs: Sequence[Run]
    remarks: Sequence[str] = ()
    baseline: str | None = None  # the machine or processor that others are held against


def render(report: FleetReport) -> str:
    """The whole report."""
    parts = (section(report) for section in SECTIONS)
    return "\n\n".join(filter(None, parts)) + "\n"


def _opening(report: FleetReport) -> str:
    tally, runs = report.tally, report.runs
    begun = sorted(run.utc for run in runs if run.utc)
    first, last = (
        (utc[:16].replace("T", " ") for utc in (begun[0], begun[-1])) if begun else ("", "")
    )
    when = f", begun {first} to {last} UTC" if begun else ""
    title = runs[0].run_id if len(runs) == 1 else plural(len(runs), "run")
    nodes = len({(node.machine, node.processor) for node in tally.fleet.nodes})
    return (
        f"# {escape(title)}\n\n{tally.records:,} records of {tally.cells:,} cells in "
        f"{tally.contests:,} contests, by {plural(nodes, 'node')}{when}. "
        f"{READING}"
    )


READING = (
    "So many records make a report of fleets: what is alike is counted together, and what stands "
    f"out is named. A table has {SHOWN} rows at most and a list {NAMED}; what is beyond is in "
    "`summary.csv`, a row for each cell, and in `results.csv`, a row for each process. The lists "
    "of samples stay in each run's `records.jsonl`; every median, interval and verdict is worked "
    "out of all of them."
)


def _answers(report: FleetReport) -> str:
    lines = []
    for workload, word in WORKLOADS.items():
        if count := report.tally.of_workload[workload]:
            ahead = report.tally.ahead[workload].most_common(NAMED)
            told = "; ".join(f"{name} in {of:,}" for name, of in ahead) or "no verdict in any"
            what = f"ahead, or tied with what is, of {plural(count, 'contest')}"
            lines.append(f"- **{word}**, {what}: {escape(told)}.")
    return "\n".join(lines)


def _warnings(report: FleetReport) -> str:
    tally = report.tally
    lines = [f"{line}." for line in dict.fromkeys(report.remarks)]
    unlike = {name: found for name, found in tally.versions.items() if len(found) > 1}
    lines += [
        f"versions differ: {name} "
        + ", ".join(f"{v} in {n:,}" for v, n in found.most_common(5))
        + " processes."
        for name, found in sorted(unlike.items())
    ]
    codes = Counter(run.code_version or "unknown" for run in report.runs)
    if len(codes) > 1:
        told = ", ".join(f"{code} in {plural(n, 'run')}" for code, n in codes.most_common(5))
        lines.append(f"versions differ: resnet-bench {told}.")
    lines += [
        f"not the same work: the {what} of {contest}, seed {seed}, differ."
        for what, contest, seed in tally.different
    ]
    shown = [f"- **Warning**: {escape(line)}" for line in lines[:NAMED]]
    more = [f"- {plural(len(lines) - NAMED, 'more warning')}"] if len(lines) > NAMED else []
    return "\n".join(shown + more)


def _hardware(report: FleetReport) -> str:
    """Each contender on each kind of hardware."""
    fleet = report.tally.fleet
    every = fleet.kinds
    if not every:
        return ""
    named = {report.baseline} | {n.processor for n in fleet.nodes if n.machine == report.baseline}
    kinds = sorted(every, key=lambda kind: kind[0] not in named)[:MOST_KINDS]
    lines = [f"- {escape(_named(kind))}: {plural(every[kind], 'node')}" for kind in kinds]
    if more := len(every) - len(kinds):
        lines.append(f"- {plural(more, 'more kind')} with fewer nodes each")
    header = ["contender", "of", *(f"{kind[0]}, {_used(kind)}" for kind in kinds)]
    rows = (
        [label, cell.contest_label_without("device", "threads"), *_spreads(found, kinds)]
        for (cell, label), found in fleet.matrix(SHOWN)
    )
    text = (
        "Images/s of the median node (of training to a target, 1/s); behind it, in brackets, the "
        "5th and the 95th percentile of the nodes; in further columns how many times as fast "
        "that is as in the first. Nodes never ran side by side, so ratios are not paired."
    )
    matrix = _table(header, rows, len(fleet.rows))
    return "\n\n".join(["## Hardware", "\n".join(lines), text, matrix])


def _named(kind: Kind) -> str:
    return f"{kind[0]}, {_used(kind)}"


def _used(kind: Kind) -> str:
    return plural(kind[2], "thread") if kind[2] else kind[1]


def _spreads(found: dict[Kind, Spread], kinds: Sequence[Kind]) -> list[str]:
    first = found.get(kinds[0])
    cells = []
    for kind in kinds:
        if (each := found.get(kind)) is None:
            cells.append("–")
            continue
        text = number(each.median)
        if each.nodes > 1:
            text += f" [{number(each.low)}, {number(each.high)}]"
        if first and each is not first:
            text += f" {number(each.median / first.median, 2)}×"
        cells.append(text)
    return cells


def _nodes(report: FleetReport) -> str:
    """The slowest and the fastest nodes of kinds with several, and single cells that are unlike."""
    nodes, odd = report.tally.fleet.compared()
    if not nodes:
        return ""
    unlike = [node for node in nodes if node.unlike]
    note = (
        f"A node's factor is its speed over that of the median node of its kind, by the median of "
        f"its cells; of kinds with {LEAST} nodes or more. A node is *unlike* beyond "
        f"{DEVIATIONS:g} deviations (by the median deviation) and {UNLIKE:.0%}: "
        f"{plural(len(unlike), 'node')} of {len(nodes):,}."
    )
    ends = nodes if len(nodes) <= 2 * NAMED else [*nodes[:NAMED], *nodes[-NAMED:]]
    also = [node for node in unlike if node not in ends][: SHOWN - len(ends)]
    header = ["node", "factor", "cells", "", "trouble in processes"]
    rows = [
        [str(n.on), f"{n.factor:.3f}", f"{n.cells:,}", "unlike" * n.unlike, _trouble(report, n.on)]
        for n in sorted([*ends, *also], key=lambda node: node.factor)
    ]
    parts = ["## Nodes", note, "The slowest and the fastest, and those that are unlike:"]
    parts.append(_table(header, rows, len(rows)))
    if odd:
        listed = [
            [str(each.on), each.row[1], each.row[0].contest_label, f"{each.factor:.3f}"]
            for each in odd[:NAMED]
        ]
        told = f"{plural(len(odd), 'cell')} beyond what the node's own factor explains"
        parts.append(f"{told}, the furthest first:")
        parts.append(_table(["node", "contender", "contest", "factor"], listed, len(odd)))
    return "\n\n".join(parts)


def _trouble(report: FleetReport, on: Hardware) -> str:
    found = report.tally.troubled.get(on.machine, Counter())
    return ", ".join(f"{count:,} {word}" for word, count in found.items()) or "–"


def _contests(report: FleetReport) -> str:
    header = ["contest", "ahead, and what ties", "at", "warnings"]
    rows = report.tally.shown
    title = f"The first {len(rows)} of {report.tally.contests:,}"
    return f"## Contests\n\n{details(title, _table(header, rows, report.tally.contests))}"


def _failures(report: FleetReport) -> str:
    counts = report.tally.failed
    if not counts:
        return ""
    rows = [[*what, f"{count:,}"] for what, count in counts.most_common(SHOWN)]
    header = ["contender", "status", "reason", "processes"]
    total = f"{sum(counts.values()):,} processes measured nothing."
    return f"## Not ranked\n\n{total}\n\n{_table(header, rows, len(counts))}"


def _certificates(report: FleetReport) -> str:
    counts = report.tally.certified
    passed = [what for what in counts if what[1:] == ("passed", "passed")]
    others = [[*what, f"{n:,}"] for what, n in counts.most_common() if what not in set(passed)]
    text = f"{len(passed):,} of {plural(len(counts), 'executable')} passed both halves."
    header = ["executable", "float64", "as timed", "processes"]
    more = [_table(header, others[:SHOWN], len(others))] if others else []
    return "\n\n".join(["## Certificates", text, *more])


def _around(report: FleetReport) -> str:
    tally = report.tally
    told = ", ".join(f"{tally.trouble[word]:,} {word}" for word in KINDS if tally.trouble[word])
    worst = sorted(tally.troubled.items(), key=lambda item: -item[1].total())[:NAMED]
    parts = [f"Of {tally.ok:,} processes: {told or 'none in trouble'}."]
    if worst:
        rows = [[name, ", ".join(f"{n:,} {w}" for w, n in found.items())] for name, found in worst]
        parts.append(_table(["node", "processes in trouble"], rows, len(tally.troubled)))
    parts += [f"- {text} ({plural(n, 'contest')})" for (text, *_), n in tally.unfair.most_common(5)]
    return "\n\n".join(["## Around the blocks", *parts])


def _machines(report: FleetReport) -> str:
    counts = Counter(
        run.machine.description.partition(": ")[2] or run.machine.description for run in report.runs
    )
    lines = [f"- {plural(n, 'run')} on {escape(text)}" for text, n in counts.most_common(NAMED)]
    if len(counts) > NAMED:
        lines.append(f"- {len(counts) - NAMED} more kinds of machines")
    versions = (
        f"{name} {' / '.join(v for v, _ in found.most_common(5))}"
        for name, found in sorted(report.tally.versions.items())
    )
    lines.append(f"- {escape(', '.join(versions))}")
    commands = Counter(run.command for run in report.runs).most_common(5)
    lines += [f"- {plural(n, 'run')} by {escape(command)}" for command, n in commands]
    return "## Machines, versions and commands\n\n" + "\n".join(lines)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], count: int) -> str:
    """A table of SHOWN rows at most, which says how many there are."""
    text = table(header, islice(rows, SHOWN))
    if count <= SHOWN:
        return text
    return f"{text}\n\n{count - SHOWN:,} more rows are in `summary.csv`."


SECTIONS = (
    *(_opening, _answers, _warnings, _hardware, _nodes, _contests, _failures),
    *(_certificates, _around, _machines),
)
