"""What a run does in its folder, new or resumed: peaks, certificates, and round after round.

Its caller is told what happens by `say` and by a `Display`.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path
from time import monotonic
from typing import Protocol

from bench.calibrate import largest
from bench.calibrate.peaks import probe
from bench.cells import Cell
from bench.executables import Executable
from bench.identity.certificate import Certificate
from bench.machine import cpus, neighbours
from bench.parent.compile_caches import CompileCaches
from bench.parent.measurement import Task
from bench.plan import times
from bench.plan.estimate import Estimator
from bench.plan.observed import observed
from bench.plan.sources import estimator
from bench.records import manifest
from bench.records.folder import RunFolder
from bench.records.record import Record
from bench.records.run import LeftOut
from bench.run.budgeted import Budget
from bench.run.measure import measure
from bench.run.proofs import proofs
from bench.run.stopping import Round, rounds
from bench.temporary import TemporaryFolder
from bench.worker.environment import withheld

Say = Callable[[str], None]  # is given one line after the other


class Display(Protocol):
    """Watches some tasks while they are measured."""

    def on_request(self, task: Task, name: str, steps: int) -> None:
        """A worker begins to answer a request of that name (`warm_up`), of so many steps."""

    def on_record(self, record: Record) -> None:
        """A task has ended."""


# Opens the display of the tasks that are measured next; it is closed when they are done
# in the run's folder, with what is known of how long they take
OpenDisplay = Callable[[Sequence[Task], RunFolder, Estimator], AbstractContextManager[Display]]


def go_on(
    folder: RunFolder,
    cells: Sequence[Cell],
    data_folders: Mapping[Cell, Path],
    timeout_s: float,
    say: Say,
    display: OpenDisplay,
    ends_s: float | None = None,
    elsewhere: Collection[Task] = (),
) -> bool:
    """Measure what is missing in the folder. Returns whether that was interrupted, which leaves
    what was measured by then.
    """
    request = folder.run.options
    cells, data_folders = largest.numbered(request, cells, data_folders)
    folder.drop_cut_off_line()
    manifest.unseal(folder.path)
    for line in withheld():
        say(line)
    look = neighbours.Look(request.devices)
    ending = ExitStack()
    try:
        shared = request.share_compile_cache and ending.enter_context(TemporaryFolder()).path
        caches = CompileCaches(shared or None)
        with folder.spending("peaks"):
            if folder.run.peaks is None:
                folder.note(peaks=probe(cells, timeout_s, say))
        known = estimator(request.devices, folder.run.peaks or {})
        with folder.spending("certificates"):
            certificates = proofs(cells, known, timeout_s, say) if request.certify else {}
        _name_neighbours(folder, look, say)
        say(f"measuring into {folder.path}")
        for each in (
            rounds(folder.run, cells, folder.records, say, elsewhere)
            if ends_s is None
            else _budgeted(folder, cells, say, known, ends_s)
        ):
            _measure(folder, each, data_folders, certificates, timeout_s, display, known, caches)
    except KeyboardInterrupt:
        return True
    finally:
        ending.close()
        took = observed(folder.records(), [folder.run])
        times.remember(took, peaks=folder.run.peaks)
    return False


def _name_neighbours(folder: RunFolder, look: neighbours.Look, say: Say) -> None:
    """Say who else uses the machine, and keep it beside those of an earlier part of the run."""
    found = look.end()
    folder.note(neighbours=(*(folder.run.neighbours or ()), *found))
    if line := neighbours.told(found):
        say(line)


def _budgeted(
    folder: RunFolder, cells: Sequence[Cell], say: Say, known: Estimator, ends_s: float
) -> Iterator[Round]:
    """The rounds of a run that is to have measured all by `ends_s` of the monotonic clock."""

    def drop(left_out: LeftOut) -> None:
        say(f"left out: {left_out.what}: {left_out.reason}")
        folder.note(left_out=(*folder.run.left_out, left_out))

    def left_s() -> float:
        return ends_s - monotonic()

    budget = Budget(folder.run, folder.records, say, known, len(cpus.allowed()), left_s, drop)
    return budget.rounds(cells)


def _measure(
    folder: RunFolder,
    round_: Round,
    data_folders: Mapping[Cell, Path],
    certificates: Mapping[Executable, Certificate],
    timeout_s: float,
    display: OpenDisplay,
    known: Estimator,
    caches: CompileCaches,
) -> None:
    """Measure the tasks of a round, and append each record as soon as it is known."""
    tasks = round_.tasks
    folder.logs.mkdir(exist_ok=True)
    weights = folder.path / "weights" if folder.run.options.save_weights else None
    costs = known.of([cell for cell, _ in tasks])
    expected_mib = {
        cell: found.memory_mib for cell, found in costs.items() if found and found.memory_mib
    }
    with folder.spending("measuring") as note_time, display(tasks, folder, known) as shown:
        records = measure(
            folder.run,
            tasks,
            data_folders,
            certificates,
            logs=folder.logs,
            timeout_s=timeout_s,
            on_request=shown.on_request,
            weights=weights,
            expected_mib=expected_mib,
            attempt=round_.attempt,
            compile_caches=caches,
        )
        with closing(records):
            for record in records:
                folder.append(record)
                note_time()
                shown.on_record(record)
