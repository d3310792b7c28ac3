"""Comparisons as Markdown that fits into a comment on a pull request."""

from collections.abc import Iterable, Mapping, Sequence

from bench.compare.changes import TIMES, WORDS, Change, Changed
from bench.compare.comparison import Comparison
from bench.compare.gate import Judgement, label, limit_text
from bench.compare.sides import LeftOut, Side
from bench.records import Record
from bench.reports.text import escape, number, table
from bench.words import plural

READING = """\
**speed** is NEW's over BASE's, with its 95 % interval over processes: Welch's t, and Yuen's of six
or more, which leaves out a fifth at each end. Processes of different runs share no rounds: what the
machine did between the runs is part of every difference, and no interval knows of it. Where all
cells moved alike, suspect the machine; to be sure, measure both versions side by side in one run,
or hold both runs against a `--control`. Verdicts account for the number of cells; what may be
chance, or is below the machine's noise floor, is a *tie*. **test accuracy** is known no better than
its test images tell: 360 of them leave 2 to 4 points open."""

HELD = """\
**speed** is NEW's over BASE's, each held against the control that ran in the same rounds: what the
machine did to both cancels. Its 95 % interval is over processes: Welch's t, and Yuen's of six or
more, which leaves out a fifth at each end. The control must be what did not change between the
runs; images/s are as they were measured, machine and all. Verdicts account for the number of cells;
what may be chance, or is below the machine's noise floor, is a *tie*."""

MACHINE = ("machine", "processor")  # facts that make another machine
FACTS = ("physical_cores", "logical_cores", "memory_gib", "os")


def render(comparisons: Sequence[Comparison], limits: Mapping[str, float], controlled: bool) -> str:
    """Each comparison, then how to read them; `controlled`: speeds are held against a control."""
    parts = [_comparison(each, limits) for each in comparisons]
    return "\n\n".join([*parts, HELD if controlled else READING]) + "\n"


def _comparison(comparison: Comparison, limits: Mapping[str, float]) -> str:
    """The answer first, then the tables, then what was left out and what else differs."""
    base, new, cells = comparison.base, comparison.new, comparison.cells
    differing, same = _facts(base, new, cells)
    sections = [
        f"## {escape(new.name)} against {escape(base.name)}",
        _machine(differing),
        _answer(cells, comparison.left_out),
        *_verdicts(comparison.judgement, limits),
        *_tables(cells),
        _controls(comparison.controls),
    ]
    if comparison.left_out:
        lines = [f"- {label(each.cell)}: {escape(each.reason)}" for each in comparison.left_out]
        sections.append("### Left out\n\n" + "\n".join(lines))
    if remarks := _remarks(base, new, cells):
        sections.append("### Remarks\n\n" + "\n".join(f"- {escape(each)}" for each in remarks))
    rows = [[name, *values] for name, values in differing.items()]
    rows += _settings(cells)
    text = table(["difference", "BASE", "NEW"], rows) if rows else "Nothing that is known."
    sections.append(f"### What differs\n\n{text}")
    if same:
        stated = ", ".join(f"{name} {value}" for name, value in same.items())
        sections.append(f"The same in both: {escape(stated)}.")
    return "\n\n".join(filter(None, sections))


def _machine(differing: Mapping[str, tuple[str, str]]) -> str:
    """What must be known before any figure is read."""
    if not differing.keys() & set(MACHINE):
        return ""
    stated = ", ".join(
        f"{name} {escape(differing[name][0])} → {escape(differing[name][1])}"
        for name in MACHINE
        if name in differing
    )
    return f"**Other machine**: {stated}. Differences are those of machine and software together."


def _answer(cells: Sequence[Changed], left_out: Sequence[LeftOut]) -> str:
    verdicts = [
        cell.changes[what].verdict for cell in cells for what in TIMES if what in cell.changes
    ]
    counts = [
        f"{verdicts.count(verdict)} {name}"
        for verdict, name in (
            *(("slower", "slower"), ("faster", "faster"), ("tie", "tied")),
            (None, "without an interval, of which nothing can be said"),
        )
        if verdict in verdicts
    ]
    text = f"Speed of {plural(len(cells), 'cell')}: {', '.join(counts) or 'unknown'}"
    return f"{text}; {len(left_out)} left out." if left_out else f"{text}."


def _verdicts(judgement: Judgement, limits: Mapping[str, float]) -> list[str]:
    """What the gate says, where there is one."""
    if not limits:
        return []
    stated = " ".join(f"`{kind}={limit_text(kind, limit)}`" for kind, limit in limits.items())
    lists = {f"**Fails** {stated}:": judgement.failed, "Cannot be decided:": judgement.undecided}
    found = [
        f"{title}\n\n" + "\n".join(f"- {each}" for each in which)
        for title, which in lists.items()
        if which
    ]
    return found if judgement.failed else [f"**Passes** {stated}.", *found]


def _tables(cells: Sequence[Changed]) -> list[str]:
    """One table per contest; quantities of which nothing is known have no column."""
    contests: dict[tuple[str | None, str], list[Changed]] = {}
    for cell in cells:
        contests.setdefault((cell.pair.machine, cell.pair.cell.contest_label), []).append(cell)
    parts = []
    for (machine, contest), rows in contests.items():
        known = [what for what in COLUMNS if any(what in row.changes for row in rows)]
        header = ["contender", *(column for what in known for column in COLUMNS[what])]
        body = [
            [row.pair.cell.label, *(text for what in known for text in _texts(what, row))]
            for row in rows
        ]
        title = f"{contest} on {machine}" if machine else contest
        parts.append(f"### {escape(title)}\n\n{table(header, body)}")
    return parts


def _controls(controls: Sequence[Changed]) -> str:
    """What the machine did to what did not change."""
    lines = []
    for control in controls:
        if change := control.changes.get("speed"):
            speeds = f"{_speeds(change)} images/s"
            lines.append(f"- {label(control.pair.cell)}: {speeds}, {_ratio(change)} of BASE's")
    return "\n".join(["### The control", "", *lines]) if lines else ""


COLUMNS = {
    "speed": ("images/s", "speed", "verdict"),
    "time to target": ("s to target",),
    "host memory": ("host peak MiB",),
    "device memory": ("device peak MiB",),
    "accuracy": ("test accuracy",),
}


def _texts(what: str, cell: Changed) -> list[str]:
    change = cell.changes.get(what)
    if change is None:
        return ["–"] * len(COLUMNS[what])
    if what == "speed":
        return [_speeds(change), _ratio(change), change.verdict or "–"]
    word = f" {change.verdict}" if change.verdict in WORDS[what] else ""
    if what == "accuracy":
        points = f"{-100 * change.loss:+.1f} pt{word}"
        return [f"{change.base:.1%} → {change.new:.1%} ({points})"]
    grown = f"{100 * change.loss:+.1f} %{word}"
    digits = 1 if what == "time to target" else 0
    return [f"{number(change.base, digits)} → {number(change.new, digits)} ({grown})"]


def _speeds(change: Change) -> str:
    return f"{number(change.base)} → {number(change.new)}"


def _ratio(change: Change) -> str:
    text = f"{1 - change.loss:.3f}"
    if change.low is None or change.high is None:
        return text
    return f"{text} [{1 - change.high:.3f}, {1 - change.low:.3f}]"


def _remarks(base: Side, new: Side, cells: Sequence[Changed]) -> list[str]:
    """Whatever else a reader must know of the rows that were compared."""
    remarks = [*base.remarks, *new.remarks]
    if shared := {row.run_id for c in cells for row in c.pair.base if row in c.pair.new}:
        remarks.append(f"the same rows are on both sides: {', '.join(sorted(shared))}")
    for side, rows in ((base, "base"), (new, "new")):
        measured = [row for cell in cells for row in getattr(cell.pair, rows)]
        for what, count in (
            ("were not certified", sum(row.certificate_timed is None for row in measured)),
            ("ran on a busy machine", sum(row.busy is True for row in measured)),
            ("were throttled", sum(row.throttled is True for row in measured)),
            ("did not settle", sum(row.steady is False for row in measured)),
        ):
            if count:
                remarks.append(f"{side.name}: {count} of {len(measured)} processes {what}")
    return list(dict.fromkeys(remarks))


def _facts(
    base: Side, new: Side, cells: Sequence[Changed]
) -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
    """Runs, machines and versions: those that differ, and those that are the same."""
    known = [
        _known(side, [r for c in cells for r in getattr(c.pair, rows)])
        for side, rows in ((base, "base"), (new, "new"))
    ]
    differing, same = {}, {}
    for name in dict.fromkeys((*known[0], *known[1])):
        values = known[0].get(name, "–"), known[1].get(name, "–")
        if values[0] == values[1]:
            same[name] = values[0]
        else:
            differing[name] = values
    return differing, same


def _known(side: Side, rows: Sequence[Record]) -> dict[str, str]:
    found: dict[str, dict[str, None]] = {}

    def note(name: str, values: Iterable[object]) -> None:
        for value in values:
            if value is not None:
                found.setdefault(name, {})[str(value)] = None

    ids = {row.run_id for row in rows}
    runs = [run for run in side.runs if run.run_id in ids]
    note("run", (row.run_id for row in rows))
    note("machine", (row.machine for row in rows))
    note("processor", (row.processor for row in rows))
    for name in FACTS:
        note(name, (getattr(run.machine, name) for run in runs))
    note("resnet-bench", (run.code_version for run in runs))
    for row in rows:
        for package, version in row.versions.items():
            note(package, [version])
    note("file", (row.implementation for row in rows if row.implementation.endswith(".py")))
    return {name: " / ".join(values) for name, values in found.items()}


def _settings(cells: Sequence[Changed]) -> list[list[str]]:
    """Effective settings that a cell had in one run and not in the other, and who had them."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for cell in cells:
        ours, theirs = (
            {name: value for row in rows for name, value in row.settings.items()}
            for rows in (cell.pair.base, cell.pair.new)
        )
        for name in sorted({*ours, *theirs}):
            values = ours.get(name, "–"), theirs.get(name, "–")
            if values[0] != values[1]:
                found.setdefault((name, *values), []).append(cell.pair.cell.label)
    return [
        [f"{name} of {', '.join(dict.fromkeys(labels))}", base, new]
        for (name, base, new), labels in found.items()
    ]
