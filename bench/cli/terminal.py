"""What a person sees while measuring: progress on a terminal, plain lines elsewhere."""

from collections.abc import Sequence
from typing import Self

from rich.console import Console, Group
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from bench.calibrate.describe import Built, differences, layer, parameter_counts, tensors, totals
from bench.cells import Cell, installed
from bench.identity.certificate import Certificate, stated
from bench.parent.measurement import Task
from bench.records import Record
from resnet_impls.architecture import Architecture, Shape
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


def certificate_table(cell: Cell, certificate: Certificate) -> Table:
    """Every check of both halves: the error, and the largest that passes."""
    what = cell.optimizer or cell.workload
    table = Table(
        title=f"\n{cell.label} {cell.model} {cell.device} {cell.precision} {what}",
        title_justify="left",
        box=None,
        header_style="dim",
        pad_edge=False,
    )
    for name in ("half", "check", "error", "limit", ""):
        table.add_column(name, no_wrap=True)
    halves = {certificate.float64.instead or "fp64": certificate.float64}
    halves |= {cell.precision: certificate.timed}
    for precision, half in halves.items():
        for name, error, limit in half.checks:
            good = error is not None and error <= limit
            table.add_row(
                precision,
                name,
                stated(name, error),
                "0" if not limit else f"{limit:.0e}",
                Text("passed", "green") if good else Text("failed", "red"),
            )
        if half.failure:
            table.add_row(precision, half.failure, "", "", Text("failed", "red"))
    return table


def description_table(architecture: Architecture) -> Group:
    """Every layer of a definition: what it puts out, learns and computes; then the totals."""
    table = Table(box=None, header_style="dim", pad_edge=False)
    for name in ("layer", "kind", "output"):
        table.add_column(name, no_wrap=True)
    for name in ("parameters", "MFLOP"):
        table.add_column(name, no_wrap=True, justify="right")
    for row in architecture.layers:
        flops = f"{row.flops / 1e6:,.2f}" if row.flops else ""  # not counted in other kinds
        table.add_row(row.name, row.kind, sizes(row.output), f"{row.parameters:,}", flops)

    count = totals(tensors(architecture))
    summary = Table(box=None, show_header=False, pad_edge=False)
    for what, number, unit in (
        ("trainable parameters", f"{count['trainable']:,}", ""),
        ("running statistics", f"{count['not trainable']:,}", "not trainable"),
        ("forward", f"{architecture.forward_flops / 1e6:,.1f}", "MFLOP per image"),
        ("training step", f"{architecture.training_flops / 1e6:,.1f}", "MFLOP per image"),
        ("size", f"{4 * count['all'] / 2**20:,.2f}", "MiB, both in float32"),
    ):
        summary.add_row(what, Text(number, justify="right"), unit)
    return Group(table, "", summary)


def built_tables(architecture: Architecture, contenders: Sequence[Built]) -> Group:
    """Trainable parameters per layer, as defined and as built; then each tensor that differs."""
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column("layer", no_wrap=True)
    table.add_column("definition", no_wrap=True, justify="right")
    for contender in contenders:
        table.add_column(contender.cell.label, justify="right", overflow="fold")

    defined = tensors(architecture)
    odd = {c: differences(architecture, c.tensors) for c in contenders}
    counts = {c: parameter_counts(c.tensors) for c in contenders}
    expected = parameter_counts(defined)
    for name in dict.fromkeys(name for each in (expected, *counts.values()) for name in each):
        cells = [
            _count(counts[c].get(name), any(layer(d.name) == name for d in odd[c]))
            for c in contenders
        ]
        table.add_row(name, _count(expected.get(name), False), *cells)
    table.add_row()
    totalled = {c: totals(c.tensors) for c in contenders}
    for what, number in totals(defined).items():
        cells = [_count(totalled[c][what], totalled[c][what] != number) for c in contenders]
        table.add_row(Text(what, "bold"), f"{number:,}", *cells)
    if not any(odd.values()):
        return Group(table)

    listed = Table(
        title="\n* not as defined",
        title_justify="left",
        box=None,
        header_style="dim",
        pad_edge=False,
    )
    for name in ("contender", "tensor", "defined", "built"):
        listed.add_column(name, overflow="fold")
    for contender, found in odd.items():
        for each in found:
            shapes = ("no" if s is None else sizes(s) for s in (each.defined, each.built))
            listed.add_row(contender.cell.label, each.name, *shapes)
    return Group(table, listed)


def _count(number: int | None, marked: bool) -> Text:
    """A number of parameters, a dash where there is no such layer, an asterisk where `marked`."""
    text = "–" if number is None else f"{number:,}"
    return Text(f"* {text}", "red") if marked else Text(text)


def sizes(shape: Shape) -> str:
    """Height, width and channels as one word; a scalar has size 1."""
    return "×".join(map(str, shape)) or "1"


def status_line(contender: Built) -> Text:
    """One line on a contender that is not there: its status, and why."""
    line = Text(f"{contender.status:11}", STYLES.get(contender.status, "red"))
    return line.append(f" {contender.cell.label}  {contender.reason}", "default")


def catalogue_table() -> Table:
    """Every implementation and backend, what it offers, and whether it is installed here."""
    table = Table(box=None, header_style="dim", pad_edge=False)
    for name in ("implementation", "workloads", "modes", "precisions", "devices"):
        table.add_column(name, no_wrap=True)
    table.add_column("installed")
    for row in CATALOGUE.values():
        for backend in row.backends:
            versions = {package: installed(package) for package in backend.packages}
            missing = [package for package, version in versions.items() if version is None]
            table.add_row(
                Text(row.name + (f"[{backend.name}]" if len(row.backends) > 1 else "")),
                " ".join(row.workloads),
                " ".join(backend.modes),
                " ".join(backend.precisions),
                " ".join(backend.devices),
                f"no: {' '.join(missing)}"
                if missing
                else " ".join(f"{package} {version}" for package, version in versions.items()),
            )
    return table
