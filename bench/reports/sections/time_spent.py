"""Where the wall time of a run went, and how much of it lay inside what is timed."""

from bench.analysis.time_spent import TimeSpent, time_spent
from bench.reports.report import Report
from bench.reports.text import details, escape, number, table

SHORT_S = 0.05  # less is 0.0 in the table, and left out of it

READING = """\
**Imports and builds** are those of all processes; where some are built side by side, that time
counts once. **Warm-up** holds the reading of the effective settings. **Around the blocks** is what
it takes to wake a worker, to suspend it and to read the machine's counters. **Accuracy** is what
follows the last step: losses, test accuracy and weights; for training to a target, every
evaluation. **Other** is the rest. The reports are written afterwards and are not in it."""


def section(report: Report) -> str:
    """One table for each run; empty where no run kept account of its time."""
    parts = []
    for run in report.runs:
        own = [record for record in report.records if record.run_id == run.run_id]
        if spent := time_spent(run, own):
            name = f"**{escape(run.run_id)}**" if len(report.runs) > 1 else "The run"
            whole = details("What it was spent on", f"{READING}\n\n{_table(spent)}")
            parts += [_told(name, spent), whole]
    return "\n\n".join(["## Where the time went", *parts]) if parts else ""


def _told(name: str, spent: TimeSpent) -> str:
    """The whole, and the part of it that was timed."""
    whole = f"{name} took {number(spent.wall_s, 1)} s"
    if spent.timed_share is None:
        return f"{whole}; nothing was measured."
    return (
        f"{whole}. Of the {number(spent.measuring_s, 1)} s after certification, "
        f"{spent.timed_share:.0%} lay inside timed blocks and first steps."
    )


def _table(spent: TimeSpent) -> str:
    whole_s = spent.wall_s
    rows = [
        [part, number(seconds, 1), number(100 * seconds / whole_s if whole_s else None, 1)]
        for part, seconds in spent.parts_s.items()
        if seconds >= SHORT_S
    ]
    return table(["spent on", "s", "%"], rows)
