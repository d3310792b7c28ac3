"""The answers that a report begins with."""

from bench.reports.answer import Answer, answers
from bench.reports.report import Report
from bench.reports.text import escape


def section(report: Report) -> str:
    """A list of the answers, each what is fastest."""
    return "\n".join(f"- {line(each)}" for each in answers(report))


def line(answer: Answer) -> str:
    """An answer as one line of Markdown."""
    said = ". ".join([answer.headline, *answer.details])
    where = f" ({escape(answer.contest)})" if answer.contest else ""
    return f"**{escape(answer.topic)}**: {escape(said)}.{where}"
