"""How precise the intervals of a run were to become, and whether they did."""

from bench.analysis.precision import LEAST, shortfall, unreached
from bench.records import Run
from bench.reports.report import Report
from bench.reports.text import escape


def section(report: Report) -> str:
    """Which cells did not become as precise as their run was to, and what a run with a budget left
    out; empty where no run had a target or a budget.

    Each run counts by itself, also where several are merged.
    """
    lines = [line for run in report.runs for line in _within(run)]
    caps: list[int] = []
    for run in report.runs:
        target, cap = run.options.precision_target, run.options.max_replicates
        if target and cap:
            missed = unreached(report.records, run)
            caps.append(cap)
            lines.append(
                f"- {escape(run.run_id)}: processes were added until every interval was within "
                f"±{target:.2%}, to {cap} per cell at most. "
                + ("Not all got there:" if missed else "All got there.")
            )
            lines += [f"  - {escape(shortfall(standing))}" for standing in missed]
    if not caps:
        return "## Precision\n\n" + "\n".join(lines) if lines else ""
    holds = "92 to 93" if min(caps) >= LEAST else "89 to 90"
    note = (
        "An interval that is taken as soon as it is narrow enough is a little too sure of itself: "
        f"from {min(LEAST, *caps)} processes on, as here, it holds the truth in {holds} of 100 "
        "simulated runs and not in 95."
    )
    return "## Precision\n\n" + "\n".join(lines) + f"\n\n{note}"


def _within(run: Run) -> list[str]:
    if run.budget_s is None:
        return []
    ending = ", and left out for want of time:" if run.left_out else ""
    told = f"- {escape(run.run_id)}: was to end within {run.budget_s:.0f} s{ending}"
    left_out = [f"  - {escape(f'{each.what}: {each.reason}')}" for each in run.left_out]
    return [told if ending else f"{told}.", *left_out]
