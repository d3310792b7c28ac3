"""`report.md`: the answer first, then the tables that carry it, then how to repeat it."""

from bench.reports.report import Report
from bench.reports.sections import (
    abstraction,
    answers,
    around_blocks,
    article,
    begun,
    certificates,
    cold_start,
    effective_settings,
    hardware,
    how_to_read,
    inputs,
    machines,
    noise_floor,
    not_ranked,
    overview,
    precision,
    ranking,
    repeat,
    roofline,
    same_work,
    scaling,
    streams,
    time_spent,
    warnings,
)
from bench.reports.text import escape, folded

# To add a section, write a file with section(report) -> str, empty where there is nothing to say,
# and give it its place here
SECTIONS = (
    *(answers, begun, overview, warnings, hardware, ranking, not_ranked, machines),
    *(
        precision,
        noise_floor,
        inputs,
        streams,
        scaling,
        abstraction,
        cold_start,
        roofline,
        certificates,
        article,
    ),
    *(same_work, effective_settings, around_blocks, time_spent, how_to_read, repeat),
)
FOLDED = SECTIONS[SECTIONS.index(precision) : SECTIONS.index(how_to_read)]  # where they are long


def render(report: Report) -> str:
    """The report of one run, or of several merged."""
    parts = ["# " + escape(", ".join(run.run_id for run in report.runs))]
    for section in SECTIONS:
        text = section.section(report)
        parts.append(folded(text) if section in FOLDED else text)
    return "\n\n".join(filter(None, parts)) + "\n"
