"""The commands that measure the runs of a report again."""

import shlex

from bench.records import Run
from bench.reports.report import Report
from bench.reports.text import code

# Options that a run fills in by its profile and machine
FILLED = ("device", "threads", "batch_size", "steps", "replicates")


def section(report: Report) -> str:
    """A block of shell."""
    return "## Repeat it\n\n" + code("\n".join(map(_command, report.runs)))


def _command(run: Run) -> str:
    """The command of a run, and as a comment what it left to this version and machine."""
    filled = []
    for name in FILLED if run.options.impl_named else ("impl", *FILLED):
        flag, value = f"--{name.replace('_', '-')}", getattr(run.options, name)
        if name == "steps" and "train-to" in (run.options.workload or ()):
            continue  # its cells have a cap of their own
        if value is not None and flag not in run.command:  # also of pytest, which quotes it
            values = value if isinstance(value, tuple) else (value,)
            filled.append(f"{flag} {' '.join(shlex.quote(str(each)) for each in values)}")
    return f"{run.command}  # there: {' '.join(filled)}" if filled else run.command
