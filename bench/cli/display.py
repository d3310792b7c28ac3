"""What a person sees while measuring: progress on a terminal, plain lines elsewhere."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Self

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column

from bench.cli import standing
from bench.cli.terminal import Terminal, status_text
from bench.machine import cpus
from bench.obstacles import obstacle
from bench.parent.outcome import Task
from bench.parent.schedule import by_contest
from bench.plan.estimate import Estimator
from bench.plan.observed import observed
from bench.plan.remaining import Remaining
from bench.records import Record
from bench.records.folder import RunFolder


class Display:
    """Progress over the steps of all tasks, a line for every record, and how the contests stand.

    It is redrawn at each request and never by a clock, so that this process sleeps in between. What
    takes longer, as a ranking, is worked out when a record comes in: no worker runs then.
    """

    def __init__(
        self, tasks: Sequence[Task], console: Terminal, folder: RunFolder, estimator: Estimator
    ) -> None:
        self.console = console
        self.run = folder.run
        self.records = folder.records()
        self.estimator = estimator
        self.groups = [set(group) for group in by_contest(tasks)]
        self.tasks = tasks
        self.remaining = Remaining(self._seconds())
        self.left = {task: task[0].steps for task in tasks}
        self.progress = Progress(
            TextColumn("{task.description}", markup=False, table_column=_folding()),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False, table_column=_folding()),
            console=console,
            auto_refresh=False,
        )
        self.ending = ExitStack()
        self.live: Live | None = None
        self.bar = self.progress.add_task("", total=sum(self.left.values()), left="")

    def __enter__(self) -> Self:
        if self.console.is_screen:
            live = Live(self.progress, console=self.console, auto_refresh=False, transient=True)
            self.live = self.ending.enter_context(live)
        elif self.left:
            self.console.print(standing.progress(self.remaining), soft_wrap=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.ending.close()

    def on_request(self, task: Task, name: str, steps: int) -> None:
        """A worker is sent a request, such as a block of `steps` steps."""
        cell, replicate = task
        self._advance(task, steps)
        self.remaining.on_request(task, name, steps)
        self.progress.update(
            self.bar,
            description=f"{cell.workload} {cell.label} #{replicate} {name.replace('_', ' ')}",
            left=standing.progress(self.remaining),
        )
        if self.live:
            self.live.refresh()

    def on_record(self, record: Record) -> None:
        """A task has ended."""
        task = (record.cell, record.replicate)
        self._advance(task, record.steps)
        self.remaining.on_end(task)
        line = status_text(record.status)
        again = " again" * bool(record.attempt)
        name = f" {record.cell.workload} {record.cell.label} #{record.replicate}{again}"
        line.append(name, "default")
        if speed := record.throughput_images_per_s:
            figures = f"{speed:,.0f}" if speed >= 100 else f"{speed:.3g}"
            line.append(f"  {figures} images/s", "bold")
        if record.reached_train_s is not None:
            line.append(f"  {record.reached_train_s:.1f} s, {record.reached_steps} steps", "bold")
        if record.test_accuracy is not None and record.dataset != "synthetic":
            line.append(f"  test accuracy {record.test_accuracy:.1%}", "default")
        if record.reason:
            line.append(f"  {record.reason}", "default")
        self.console.print(line, soft_wrap=True)
        self.records.append(record)
        self._stand(task)

    def _stand(self, task: Task) -> None:
        """Where a replicate of a contest is whole: the order, and estimates by what it took."""
        group = next((each for each in self.groups if task in each), set())
        group.discard(task)
        if group:
            return
        found = standing.contests(self.records, self.run, [task[0]])
        self.estimator.learn(observed(self.records, [self.run]))
        self.remaining.estimate(self._seconds())
        if self.live:
            self.live.update(Group(self.progress, *map(standing.table, found)))
            return
        for contest in found:
            self.console.print(standing.order(contest), soft_wrap=True)
        if self.remaining.left:
            self.console.print(standing.progress(self.remaining), soft_wrap=True)

    def _seconds(self) -> dict[Task, dict[str, float] | None]:
        """Estimates of the tasks that have a process."""
        able = [task for task in self.tasks if obstacle(task[0]) is None]
        return self.estimator.seconds(able, len(cpus.allowed()))

    def _advance(self, task: Task, steps: int) -> None:
        steps = min(steps, self.left.get(task, 0))
        if steps:
            self.left[task] -= steps
            self.progress.advance(self.bar, steps)


def _folding() -> Column:
    """A column of progress that a narrow terminal does not cut."""
    return Column(overflow="fold")
