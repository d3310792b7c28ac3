"""resnet-bench from Python, in programs and notebooks: runs, reports and comparisons.

Nothing here exits the process or prints. A mistake is a `bench.errors.UsageError`, in one line.
"""

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.compare.comparison import Comparison, comparisons
from bench.compare.sides import side
from bench.parent.outcome import Task
from bench.plan.estimate import Estimator
from bench.records import Record
from bench.records.folder import RunFolder
from bench.records.merging import merge
from bench.records.shards import check_one_plan, united
from bench.reports.report import Report
from bench.reports.write import write_reports
from bench.request.profiles import PROFILES
from bench.request.request import Request
from bench.run.check import filled
from bench.run.going_on import OpenDisplay
from bench.run.run import begin

__all__ = ["Progress", "Report", "Request", "compare", "load", "run"]


@dataclass(frozen=True)
class Progress:
    """What a callback is told while a run goes on: a line, or a record with the count so far."""

    line: str | None = None  # of what the run is about to do, as the command line shows it
    record: Record | None = None  # that was measured last
    done: int = 0  # records of the tasks that are being measured
    total: int = 0


def run(
    request: Request,
    out: str | Path | None = None,
    *,
    profile: str = "quick",
    budget_s: float | None = None,
    shard: tuple[int, int] | None = None,
    timeout_s: float = 600.0,
    machine_name: str | None = None,
    wait: bool = False,
    progress: Callable[[Progress], object] = lambda progress: None,
) -> Report:
    """Measure what is asked for, and write the folder `out` with its reports.

    `out`: None is `results/` with the time and the profile. What the request leaves open is filled
    in by the profile and this machine. `shard`: the number, from 1, and the count of the parts of
    the plan, of which only that one is measured; `load` puts them together. `wait`: for the end of
    another measurement on this machine, which else is a UsageError, as is a request that cannot be
    met. `progress` is called between measurements, never while a worker measures. Raises
    KeyboardInterrupt after an interrupt: what was measured by then is kept, and `resnet-bench run
    --resume` goes on.
    """
    began = datetime.now(UTC)
    path = Path(out) if out else Path("results") / f"{began:%Y%m%d-%H%M%S}-{profile}"

    def say(line: str) -> None:
        progress(Progress(line=line))

    with ExitStack() as until:  # reports take processors too
        ended = begin(
            filled(request, PROFILES[profile]),
            path,
            command=shlex.join(["resnet-bench", "run", "--config", str(path)]),
            timeout_s=timeout_s,
            say=say,
            display=_watching(progress),
            machine_name=machine_name,
            budget_s=budget_s,
            shard=shard,
            wait=wait,
            until=until,
        )
        with ended.folder.held() as folder:
            report = Report(folder.records(), [folder.run])
            write_reports(folder.path, report)
            folder.drop_empty_logs()
    if ended.interrupted:
        raise KeyboardInterrupt
    return report


def load(paths: str | Path | Iterable[str | Path]) -> Report:
    """The report of one or more runs, by their folders; shards of one plan are one run.

    Raises UsageError where a folder holds none, or for shards of different plans.
    """
    given = [paths] if isinstance(paths, str | Path) else paths
    folders = [RunFolder.open(Path(path)) for path in given]
    given_runs = [(folder.run, folder.records()) for folder in folders]
    check_one_plan(run for run, _ in given_runs)
    sources, remarks = united(given_runs)
    merged = merge(sources)
    return Report(merged.records, merged.runs, remarks=[*remarks, *merged.remarks])


def compare(
    base: str | Path,
    new: str | Path,
    *,
    control: str | None = None,
    limits: Mapping[str, float] | None = None,
) -> Comparison:
    """What changed from one run to another, as `resnet-bench compare` says it.

    `limits`: of a gate, such as `{"slower": 0.03}`; what fails is in `.judgement`. Raises
    UsageError where the runs have no cell in common, or no such control.
    """
    [found] = comparisons(side(Path(base)), [side(Path(new))], dict(limits or {}), control)
    return found


class _Watched:
    """Counts the records of some tasks, and tells a callback of each."""

    def __init__(self, progress: Callable[[Progress], object], total: int) -> None:
        self.progress = progress
        self.total = total
        self.done = 0

    def on_request(self, task: Task, name: str, steps: int) -> None:
        """A worker begins to measure: nobody is called, who might take its processor."""

    def on_record(self, record: Record) -> None:
        self.done += 1
        self.progress(Progress(record=record, done=self.done, total=self.total))


def _watching(
    progress: Callable[[Progress], object],
) -> OpenDisplay:
    @contextmanager
    def opened(tasks: Sequence[Task], folder: RunFolder, known: Estimator) -> Iterator[_Watched]:
        yield _Watched(progress, len(tasks))

    return opened
