"""When each run began, by which code, and in how many processes, as far as that is known."""

from bench.records import Run
from bench.reports.report import Report
from bench.reports.text import escape
from bench.words import plural


def section(report: Report) -> str:
    """A line below the title; of several runs a list of those of which something is known."""
    known = [(run.run_id, ", ".join(_circumstances(run))) for run in report.runs]
    if len(known) == 1:
        text = known[0][1]
        return escape(text[:1].upper() + text[1:])
    return "\n".join(f"- {escape(name)}: {escape(text)}" for name, text in known if text)


def _circumstances(run: Run) -> list[str]:
    parts = []
    if run.utc:
        parts.append(f"begun {run.utc[:16].replace('T', ' ')} UTC")
    if run.code_version:
        parts.append(f"resnet-bench {run.code_version}")
    if run.options.replicates:
        least = "at least " if run.options.precision_target else ""
        parts.append(f"{least}{plural(run.options.replicates, 'process')} per cell")
    return parts
