"""Where estimates come from: this machine's earlier runs, what its cache keeps, published runs."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from bench.cells import Cell
from bench.errors import UsageError
from bench.machine import facts
from bench.obstacles import obstacle
from bench.plan import times
from bench.plan.estimate import Estimator, Here
from bench.plan.observed import Observed, observed
from bench.plan.published import published
from bench.records.folder import RunFolder
from bench.records.run import Machine, Peak, Run

RUNS = 20  # folders of earlier runs that are read, the latest

Peaks = Mapping[str, Mapping[str, Peak]]


def estimator(devices: Iterable[str], peaks: Peaks, results: Path = Path("results")) -> Estimator:
    """What is known of this machine, whose `peaks` of today go before those remembered."""
    machine = facts.this_machine()
    remembered = times.known()
    runs, own = earlier(results, machine)
    best: dict[str, dict[str, Peak]] = {}
    for source in (*(run.peaks or {} for run in runs), remembered.peaks, peaks):
        for device, table in source.items():
            best.setdefault(device, {}).update(table)
    here = Here(machine.machine, {each: machine.processor(each) for each in devices}, best)
    return Estimator(here, [*own, *remembered.observed], published())


def earlier(results: Path, machine: Machine) -> tuple[list[Run], list[Observed]]:
    """The runs of this machine in a folder of results, and what they took; damaged ones count as
    absent.
    """
    runs, found = [], []
    for file in sorted(results.glob("*/run.json"))[-RUNS:]:
        try:
            folder = RunFolder.open(file.parent)
            if same_machine(folder.run.machine, machine):
                found += observed(folder.records(), [folder.run])
                runs.append(folder.run)
        except UsageError:
            continue
    return runs, found


def same_machine(ours: Machine, theirs: Machine) -> bool:
    """Whether two descriptions are of one machine, whatever name a run was given for it."""
    names = ("cpu", "cpu_flags", "logical_cores", "memory_gib", "gpu_names")
    return all(getattr(ours, name) == getattr(theirs, name) for name in names)


def able(cells: Iterable[Cell]) -> list[Cell]:
    """The cells that nothing is known to forbid here."""
    return [cell for cell in cells if obstacle(cell) is None]
