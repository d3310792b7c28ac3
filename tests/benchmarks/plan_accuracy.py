"""How well `run --plan` would have told what the published runs took.

`python tests/benchmarks/plan_accuracy.py [RESULTS]` estimates each run in the folder from all
others (leave-one-out): never from its own records. Of the run itself it takes what a plan knows
beforehand: its cells, its number of processes, which of them cannot run, and the machine's peaks.
Whether certificates were in the cache is not kept: a run that spent over 20 s on them, or between
its peaks and its first process where it does not say, is taken for one that worked out all of them.

A run took from its beginning to its last record; reports came after.
"""

import sys
from datetime import datetime
from pathlib import Path

from bench.calibrate.certify import halves
from bench.cells import Cell
from bench.plan.estimate import Estimator, Here
from bench.plan.observed import observed
from bench.plan.parts import certificates_s, halves_s, measuring_s, peaks_s
from bench.plan.published import runs_in
from bench.records import Record
from bench.records.run import Peak, Run

FRESH_S = 20.0


def seconds(utc: str | None) -> float:
    return datetime.fromisoformat(utc or "").timestamp()


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "results")
    records, runs = runs_in(folder)
    everything = observed(records, runs)
    print(
        f"{'run':24} {'peaks':>6} {'certif.':>8} {'measuring':>10} {'total':>7} {'took':>7}  error"
    )
    for run in runs:
        rows = [row for row in records if row.run_id == run.run_id]
        others = [each for each in everything if each.run_id != run.run_id]
        print(line(run, rows, Estimator(here(run), (), others)))


def here(run: Run) -> Here:
    chips = {device: run.machine.processor(device) for device in run.options.device or ("cpu",)}
    return Here(run.machine.machine, chips, run.peaks or {})


def line(run: Run, rows: list[Record], estimator: Estimator) -> str:
    began = seconds(run.utc)
    able = [row for row in rows if row.status == "ok"]
    cells = list(dict.fromkeys(row.cell for row in able))
    tasks = list(dict.fromkeys((row.cell, row.replicate) for row in able))
    times = [seconds(peak.utc) for peak in peaks_of(run) if seconds(peak.utc) >= began]
    settled = max(times, default=began)
    peaks = peaks_s(len(times))
    measuring = measuring_s(estimator, tasks, processors=2)
    assert measuring is not None
    certificates = certified_s(run, rows, settled, estimator, cells)
    total = peaks + certificates + measuring
    took = seconds(rows[-1].utc) - began
    return (
        f"{run.run_id:24} {peaks:6.0f} {certificates:8.0f} {measuring:10.0f} {total:7.0f} "
        f"{took:7.0f}  {total / took - 1:+.0%}"
    )


def certified_s(
    run: Run, rows: list[Record], settled: float, estimator: Estimator, cells: list[Cell]
) -> float:
    """The estimate for the certificates that a run had to work out."""
    first = before_measuring(rows)
    told = (run.spent_s or {}).get("certificates")
    spent = told if told is not None else first - settled if first is not None else 0.0
    if spent <= FRESH_S:
        return 0.0
    wanted = halves(dict.fromkeys(cell.executable for cell in cells))
    if told is None:  # these worked them out one after the other
        return sum(halves_s(estimator, cells, wanted, measured={}).values())
    problems = len({(each.model, each.training) for each in wanted})
    return certificates_s(estimator, cells, wanted, problems=problems, measured={}, processors=2)


def peaks_of(run: Run) -> list[Peak]:
    return [peak for table in (run.peaks or {}).values() for peak in table.values()]


def before_measuring(rows: list[Record]) -> float | None:
    """When measuring began: the time of a first row that says what cannot run; None without one."""
    return seconds(rows[0].utc) if rows[0].status != "ok" else None


if __name__ == "__main__":
    main()
