"""The answers that a report begins with."""

from bench.reports.answer import answers
from bench.reports.report import Report


def section(report: Report) -> str:
    """A list of sentences, each on what is fastest."""
    return "\n".join(f"- {sentence}" for sentence in answers(report))
