"""The time before the first timed step, and after how many steps a later start has paid off."""

import math

from bench.analysis.cold_start import BEGINNING, Overtaking, cold_start, overtakings
from bench.analysis.contests import Contest
from bench.reports.report import Report
from bench.reports.text import escape, number, table

READING = (
    "What it takes to begin, in medians over the processes that were timed (import and build are "
    "timed where nothing else was built beside them): *in all* is import, build, first step "
    "(with its compilation) and warm-up together. A cell overtakes another once it has taken as "
    "many steps in less time, its start included; brackets hold the 95 % interval that follows "
    "from the ratio of their speeds."
)


def section(report: Report) -> str:
    """Cold starts and break-evens of each contest; empty where nothing is known of any."""
    parts = [_contest(contest, report.name_of(contest)) for contest in report.contests]
    known = list(filter(None, parts))
    return "\n\n".join(["## Cold start", READING, *known]) if known else ""


def _contest(contest: Contest, title: str) -> str:
    rows = []
    for s in contest.ranked:
        if start := cold_start(s.records):
            seconds = [*(getattr(start, name) for name in BEGINNING), start.begun_s]
            figures = [number(value, 2) for value in seconds]
            rows.append([s.cell.known_as, *figures, number(start.step_s * 1e3, 1)])
    if not rows:
        return ""
    header = [
        "contender",
        "import s",
        "build s",
        "first step s",
        "warm-up s",
        "in all s",
        "ms per step in blocks",
    ]
    lines = "\n".join(f"- {sentence(found)}" for found in overtakings(contest))
    return "\n\n".join([f"### {escape(title)}", table(header, rows), *([lines] if lines else [])])


def sentence(found: Overtaking) -> str:
    """`torch_module compiled overtakes torch_module eager after 412 [350, 500] steps`."""
    late, early = escape(found.late.cell.known_as), escape(found.early.cell.known_as)
    steps = found.steps
    if math.isinf(steps.value):
        if steps.low is not None and math.isfinite(steps.low):
            earliest = f"after {_count(steps.low)} steps at the earliest"
            return f"{late} is not seen to overtake {early}: {earliest}, if it is faster per step"
        return f"{late} never overtakes {early}: it is no faster per step"
    bracket = ""
    if steps.low is not None and steps.high is not None:
        bracket = f" [{_count(steps.low)}, {_count(steps.high)}]"
    return f"{late} overtakes {early} after {_count(steps.value)}{bracket} steps"


def _count(steps: float) -> str:
    return "never" if math.isinf(steps) else f"{math.ceil(steps):,}"
