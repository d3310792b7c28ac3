"""What a reader must know of the runs that were merged."""

from bench.reports.report import Report
from bench.reports.text import escape


def section(report: Report) -> str:
    """One line for each remark; empty where there is none."""
    return "\n".join(f"- **Warning**: {escape(line)}." for line in dict.fromkeys(report.remarks))
