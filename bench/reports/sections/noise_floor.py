"""The noise floors of a report: the differences up to which everything is called a tie."""

from bench.records.run import NoiseFloor
from bench.reports.report import Report
from bench.reports.text import escape
from bench.words import plural

NAMED = 5  # other processes that are listed


def section(report: Report) -> str:
    """One line for each machine and device; empty where the runs are not known."""
    runs = {run.run_id: run for run in report.runs}
    lines = []
    for run_id, device in dict.fromkeys((r.run_id, r.device) for r in report.records):
        if run := runs.get(run_id):
            text = _measured(floor) if (floor := run.noise_floor.get(device)) else UNMEASURED
            lines.append(f"- {escape(f'{run.machine.machine}, {device}')}: {text}")
    return "## Noise floor\n\n" + "\n".join(dict.fromkeys(lines)) if lines else ""


UNMEASURED = (
    "none was measured, and differences count however small they are; "
    "`resnet-bench doctor --aa` measures one"
)


def _measured(floor: NoiseFloor) -> str:
    """The floor, and the number of processes that it holds for."""
    count = floor.replicates
    with_so_many = f" with {plural(count, 'process')} per cell and less with more" if count else ""
    others = ", ".join(escape(each.described) for each in (floor.neighbours or ())[:NAMED])
    disturbed = f"; it may be too large, since others used the machine then: {others}"
    return (
        f"{floor.value:.2%}{with_so_many}: as much as a cell differs from itself on this machine; "
        f"smaller differences are ties{disturbed if others else ''}"
    )
