"""The report's sections on precision: what was asked for, and the noise that machines have."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.analysis.precision import LEAST, shortfall, unreached
from bench.records import Record
from bench.reports.text import escape


def target(records: Sequence[Record], runs: Sequence[Mapping[str, Any]]) -> str:
    """Which cells did not become as precise as their run was to; empty where no run had a target.

    Each run counts by itself, also where several are merged.
    """
    lines: list[str] = []
    caps: list[int] = []
    for run in runs:
        if wanted := run["options"].get("precision_target"):
            missed = unreached(records, run)
            caps.append(run["options"]["max_replicates"])
            lines.append(
                f"- {escape(run['run_id'])}: processes were added until every interval was within "
                f"±{wanted:.2%}, to {caps[-1]} per cell at most. "
                + ("Not all got there:" if missed else "All got there.")
            )
            lines += [f"  - {escape(shortfall(standing))}" for standing in missed]
    if not lines:
        return ""
    holds = "92 to 93" if min(caps) >= LEAST else "89 to 90"
    note = (
        "An interval that is taken as soon as it is narrow enough is a little too sure of itself: "
        f"from {min(LEAST, *caps)} processes on, as here, it holds the truth in {holds} of 100 "
        "simulated runs and not in 95."
    )
    return "## Precision\n\n" + "\n".join(lines) + f"\n\n{note}"


def noise_floor(records: Sequence[Record], runs: Sequence[Mapping[str, Any]]) -> str:
    """The difference, per machine and device, up to which everything is called a tie; empty where
    nothing is recorded.
    """
    machines = {run["run_id"]: run for run in runs}
    lines = []
    for run_id, device in dict.fromkeys((r.run_id, r.device) for r in records):
        run = machines.get(run_id)
        if run is None:
            continue
        place = f"- {escape(run['machine']['machine'])}, {device}: "
        if floor := run.get("noise_floor", {}).get(device):
            lines.append(
                f"{place}{floor['value']:.2%}{_processes(floor)}, by which this machine told a "
                "cell from itself; smaller differences are ties"
            )
        else:
            lines.append(
                f"{place}none was measured, and differences count however small they are; "
                "`resnet-bench doctor --aa` measures one"
            )
    return "## Noise floor\n\n" + "\n".join(dict.fromkeys(lines)) if lines else ""


def _processes(floor: Mapping[str, Any]) -> str:
    """Of how many it is the floor, where that is known: with more it is lower."""
    count = floor.get("replicates")
    if not count:
        return ""
    return f" with {count} process{'es' * (count > 1)} per cell" + " and less with more"
