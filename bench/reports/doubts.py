"""What is known to stand against the figures of a report: the noise floor, late compilation."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.records import Record
from bench.reports.text import escape


def render(records: Iterable[Record], runs: Sequence[Mapping[str, Any]]) -> str:
    """A list: each run's noise floors, then the cells that compiled in their timed blocks."""
    lines = []
    for run in runs:
        for device, floor in run.get("noise_floor", {}).items():
            lines.append(
                f"{escape(run['run_id'])}: smaller differences than {floor['value']:.2%} on "
                f"{device} are ties; this machine shows them between equal cells"
            )
        if not run.get("noise_floor"):
            lines.append(
                f"{escape(run['run_id'])}: the machine's noise floor is not known; "
                "`resnet-bench doctor --aa` before a run measures it"
            )
    late: dict[str, list[int]] = {}
    for record in records:
        if record.compilations_while_timed:
            label = f"{record.cell.label}, {record.cell.contest_label}"
            late.setdefault(label, []).append(record.compilations_while_timed)
    for label, counts in late.items():
        lines.append(
            f"**{escape(label)}** compiled in its timed blocks, up to {max(counts)} times: it is "
            "faster than it seems"
        )
    return "\n".join(f"- {line}" for line in lines)
