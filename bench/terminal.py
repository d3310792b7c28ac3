"""What a person sees while measuring: progress on a terminal, plain lines elsewhere."""

from collections.abc import Sequence
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from bench.cells import Cell, installed
from bench.certify import Certificate
from bench.records import Record
from bench.schedule import Task
from resnet_impls.catalogue import CATALOGUE

STYLES = {"ok": "green", "unavailable": "yellow", "unsupported": "yellow"}  # all others: red


class Terminal(Console):
    """A console that leaves it to the caller what a closed pipe means."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class Display:
    """Progress over the steps of all tasks, and a line for every record.

    It is redrawn at each turn and never by a clock, so that this process sleeps in between.
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

    def turn(self, task: Task, turn: str, steps: int) -> None:
        """A worker begins a turn of `steps` steps."""
        cell, replicate = task
        self._advance(task, steps)
        self.progress.update(
            self.bar,
            description=f"{cell.workload} {cell.label} #{replicate} {turn.replace('_', ' ')}",
            refresh=True,
        )

    def record(self, record: Record) -> None:
        """A task has ended."""
        self._advance((record.cell, record.replicate), record.steps)
        line = Text(f"{record.status:11}", STYLES.get(record.status, "red"))
        line.append(f" {record.cell.workload} {record.cell.label} #{record.replicate}", "default")
        if record.throughput_images_per_s:
            line.append(f"  {record.throughput_images_per_s:,.0f} images/s", "bold")
        if record.test_accuracy is not None:
            line.append(f"  test accuracy {record.test_accuracy:.1%}", "default")
        if record.reason:
            line.append(f"  {record.reason}", "default")
        self.console.print(line, soft_wrap=True)

    def _advance(self, task: Task, steps: int) -> None:
        steps = min(steps, self.left.get(task, 0))
        if steps:
            self.left[task] -= steps
            self.progress.advance(self.bar, steps)


def certificate_table(cell: Cell, certificate: Certificate) -> Table:
    """Every check of both halves: the error, and the largest that passes."""
    table = Table(
        title=f"\n{cell.label} {cell.model} {cell.device} {cell.precision} {cell.optimizer}",
        title_justify="left",
        box=None,
        header_style="dim",
        pad_edge=False,
    )
    for name in ("half", "check", "error", "limit", ""):
        table.add_column(name, no_wrap=True)
    for precision, half in (("fp64", certificate.float64), (cell.precision, certificate.timed)):
        for name, error, limit in half.checks:
            good = error is not None and error <= limit
            table.add_row(
                precision,
                name,
                "no number" if error is None else f"{error:.1e}",
                f"{limit:.0e}",
                Text("passed", "green") if good else Text("failed", "red"),
            )
        if half.failure:
            table.add_row(precision, half.failure, "", "", Text("failed", "red"))
    return table


def catalogue_table() -> Table:
    """Every implementation and backend, what it offers, and whether it is installed here."""
    table = Table(box=None, header_style="dim", pad_edge=False)
    for name in ("implementation", "modes", "precisions", "devices"):
        table.add_column(name, no_wrap=True)
    table.add_column("installed")
    for row in CATALOGUE.values():
        for backend in row.backends:
            versions = {package: installed(package) for package in backend.packages}
            missing = [package for package, version in versions.items() if version is None]
            table.add_row(
                Text(row.name + (f"[{backend.name}]" if len(row.backends) > 1 else "")),
                " ".join(backend.modes),
                " ".join(backend.precisions),
                " ".join(backend.devices),
                f"no: {' '.join(missing)}"
                if missing
                else " ".join(f"{package} {version}" for package, version in versions.items()),
            )
    return table
