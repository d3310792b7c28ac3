"""From tasks to records."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from bench.cells import Cell
from bench.executables import Executable
from bench.identity.certificate import Certificate
from bench.parent.compile_caches import CompileCaches
from bench.parent.measurement import OnRequest
from bench.parent.outcome import Task
from bench.parent.schedule import Schedule
from bench.records.record import Record
from bench.records.run import Run
from bench.run.record import record


def measure(
    run: Run,
    tasks: Sequence[Task],
    data_folders: Mapping[Cell, Path],
    certificates: Mapping[Executable, Certificate],
    *,
    logs: Path,
    timeout_s: float,
    on_request: OnRequest = lambda task, name, steps: None,
    weights: Path | None = None,
    expected_mib: Mapping[Cell, float] | None = None,
    attempt: int = 0,
    compile_caches: CompileCaches | None = None,
) -> Generator[Record, None, None]:
    """Measure `tasks` and yield a Record for each as soon as it is known; trained weights go to
    the folder `weights`. The order of workers follows from the seed of the run's request.
    `expected_mib`: the host memory that workers are estimated to take, where that is known;
    `attempt`: above 0, all of them are measured again; `compile_caches`: what earlier processes of
    their cells compiled.

    Closing the iterator, or an exception in it, ends every worker.
    """
    schedule = Schedule(
        data_folders,
        logs,
        timeout_s,
        run.options.seed,
        on_request,
        weights,
        attempt,
        dict(expected_mib or {}),
        compile_caches or CompileCaches(),
    )
    outcomes = schedule.run(tasks)
    with closing(outcomes):
        for task, outcome in outcomes:
            row = record(task, outcome, certificates.get(task[0].executable), run)
            yield replace(row, attempt=attempt)
