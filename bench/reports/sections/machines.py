"""The machines of a report, and the versions of all that was measured on them."""

from bench.reports.report import Report
from bench.reports.text import escape


def section(report: Report) -> str:
    """One line for each run's machine, then one for the versions."""
    lines = [escape(run.machine.description) for run in report.runs]
    versions: dict[str, set[str]] = {}
    for record in report.records:
        for package, version in record.versions.items():
            versions.setdefault(package, set()).add(version)
    if ours := {run.code_version for run in report.runs if run.code_version}:
        versions["resnet-bench"] = ours
    if versions:
        stated = (f"{name} {' / '.join(sorted(versions[name]))}" for name in sorted(versions))
        lines.append(escape(", ".join(stated)))
    return "## Machine and versions\n\n" + "\n".join(f"- {line}" for line in lines)
