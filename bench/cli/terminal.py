"""What a person sees while measuring: progress on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Sequence
from functools import cache
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from bench.parent.outcome import Task
from bench.records import Record

STYLES = {"ok": "green", "unavailable": "yellow", "unsupported": "yellow"}  # all others: red


class Terminal(Console):
    """A console that leaves it to the caller what a closed pipe means."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


@cache
def console() -> Console:
    """Standard output, wide enough for a ranking where it is no terminal; [brackets] are text."""
    return Terminal(width=None if sys.stdout.isatty() else 120, markup=False, highlight=False)


def plain_table(**options: Any) -> Table:
    """A table without lines, as all commands show them."""
    return Table(box=None, header_style="dim", pad_edge=False, title_justify="left", **options)


class Display:
    """Progress over the steps of all tasks, and a line for every record.

    It is redrawn at each request and never by a clock, so that this process sleeps in between.
    """

    def __init__(self, tasks: Sequence[Task], console: Console) -> None:
        self.console = console
        self.left = {task: task[0].steps for task in tasks}
        self.progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TimeElapsedColumn(),
            console=console,
            auto_refresh=False,
            transient=True,
            disable=not console.is_terminal,
        )
        self.bar = self.progress.add_task("", total=sum(self.left.values()))

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def on_request(self, task: Task, name: str, steps: int) -> None:
        """A worker is sent a request, such as a block of `steps` steps."""
        cell, replicate = task
        self._advance(task, steps)
        self.progress.update(
            self.bar,
            description=f"{cell.workload} {cell.label} #{replicate} {name.replace('_', ' ')}",
            refresh=True,
        )

    def on_record(self, record: Record) -> None:
        """A task has ended."""
        self._advance((record.cell, record.replicate), record.steps)
        line = status_text(record.status)
        line.append(f" {record.cell.workload} {record.cell.label} #{record.replicate}", "default")
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

    def _advance(self, task: Task, steps: int) -> None:
        steps = min(steps, self.left.get(task, 0))
        if steps:
            self.left[task] -= steps
            self.progress.advance(self.bar, steps)


def status_text(status: str) -> Text:
    """A status in its colour, as wide as the longest."""
    return Text(f"{status:11}", STYLES.get(status, "red"))
