"""`resnet-bench describe`: a model layer by layer, or side by side as implementations build it."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.cells import Cell
from bench.cli.arguments import IMPLEMENTATIONS, wait_argument
from bench.errors import UsageError, unknown
from bench.executables import Executable
from bench.request.matrix import cells_of
from bench.request.request import Request
from resnet_impls.architecture import ARCHITECTURES, Architecture, Layer, Shape

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text

    from bench.calibrate.describe import Built


@dataclass(frozen=True)
class DescribedContender:
    """A network as its framework built it: the shapes of its tensors, or why there is none."""

    executable: Executable
    status: str
    reason: str | None
    tensors: Mapping[str, Shape]


@dataclass(frozen=True)
class Described:
    """What `describe --json` prints, by results/describe.schema.json."""

    model: str
    layers: Sequence[Layer]
    tensors: Mapping[str, Shape]  # of the definition, parameters and running statistics
    forward_flops: int  # of one image; a multiply-add counts as two
    training_flops: int
    contenders: Sequence[DescribedContender]  # of --impl


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The model, and who is to build it."""
    parser.add_argument("model", metavar="MODEL", help="a network, by a name that `list` shows")
    parser.add_argument(
        "--impl",
        nargs="+",
        metavar="NAME",
        help=f"build the network by each of these and compare its tensors: {IMPLEMENTATIONS}",
    )
    parser.add_argument("--json", action="store_true", help="print it as JSON, for programs")
    wait_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Show the definition, or what was built; 1 where something cannot be built here."""
    from bench.cli.terminal import console, status_text

    if options.model not in ARCHITECTURES:
        raise UsageError(unknown("model", options.model, ARCHITECTURES))
    architecture = ARCHITECTURES[options.model]
    if options.json:
        return _print_json(options, architecture)
    if options.impl is None:
        console().print(_definition(architecture))
        return 0
    contenders = _built(options)
    absent = [contender for contender in contenders if contender.status != "ok"]
    if built := [contender for contender in contenders if contender not in absent]:
        console().print(_side_by_side(architecture, built))
    for contender in absent:
        line = status_text(contender.status)
        line.append(f" {contender.executable.label}  {contender.reason}", "default")
        console().print(line, soft_wrap=True)
    return 1 if absent else 0


def _print_json(options: argparse.Namespace, architecture: Architecture) -> int:
    import json

    from bench.calibrate.describe import tensors
    from bench.validation import plain

    contenders = [
        DescribedContender(each.executable, each.status, each.reason, each.tensors)
        for each in (_built(options) if options.impl else ())
    ]
    found = Described(
        model=architecture.name,
        layers=architecture.layers,
        tensors=tensors(architecture),
        forward_flops=architecture.forward_flops,
        training_flops=architecture.training_flops,
        contenders=contenders,
    )
    print(json.dumps(plain(found), indent=2))
    return 1 if any(each.status != "ok" for each in contenders) else 0


def _built(options: argparse.Namespace) -> "list[Built]":
    """The networks of --impl; to import a framework would disturb a measurement."""
    from bench.calibrate.describe import build
    from bench.cli.terminal import notice
    from bench.machine.exclusive import alone

    cells = _cells(options)
    with alone(wait=options.wait, say=notice):
        return list(build(cells))


def _cells(options: argparse.Namespace) -> list[Cell]:
    """On the CPU, each in its default mode."""
    return cells_of(
        Request(
            impl=tuple(options.impl),
            model=(options.model,),
            workload=("infer",),  # which all can do
            device=("cpu",),
            batch_size=(1,),
            dataset="synthetic",
            steps=1,
        )
    )


def _definition(architecture: Architecture) -> "Group":
    """Every layer of a definition: what it puts out, learns and computes; then the totals."""
    from rich.console import Group
    from rich.text import Text

    from bench.calibrate.describe import tensors, totals
    from bench.reports.formats.plain_table import plain_table

    table = plain_table()
    for name in ("layer", "kind", "output"):
        table.add_column(name, no_wrap=True)
    for name in ("parameters", "MFLOP"):
        table.add_column(name, no_wrap=True, justify="right")
    for row in architecture.layers:
        flops = f"{row.flops / 1e6:,.2f}" if row.flops else ""  # not counted in other kinds
        table.add_row(row.name, row.kind, sizes(row.output), f"{row.parameters:,}", flops)

    count = totals(tensors(architecture))
    summary = plain_table(show_header=False)
    for what, number, unit in (
        ("trainable parameters", f"{count['trainable']:,}", ""),
        ("running statistics", f"{count['not trainable']:,}", "not trainable"),
        ("forward", f"{architecture.forward_flops / 1e6:,.1f}", "MFLOP per image"),
        ("training step", f"{architecture.training_flops / 1e6:,.1f}", "MFLOP per image"),
        ("size", f"{4 * count['all'] / 2**20:,.2f}", "MiB, both in float32"),
    ):
        summary.add_row(what, Text(number, justify="right"), unit)
    return Group(table, "", summary)


def _side_by_side(architecture: Architecture, contenders: "Sequence[Built]") -> "Group":
    """Trainable parameters per layer, as defined and as built; then each tensor that differs."""
    from rich.console import Group
    from rich.text import Text

    from bench.calibrate.describe import differences, layer, parameter_counts, tensors, totals
    from bench.reports.formats.plain_table import plain_table

    table = plain_table()
    table.add_column("layer", no_wrap=True)
    table.add_column("definition", no_wrap=True, justify="right")
    for contender in contenders:
        table.add_column(contender.executable.label, justify="right", overflow="fold")

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

    listed = plain_table(title="\n* not as defined")
    for name in ("contender", "tensor", "defined", "built"):
        listed.add_column(name, overflow="fold")
    for contender, found in odd.items():
        for each in found:
            shapes = ("no" if s is None else sizes(s) for s in (each.defined, each.built))
            listed.add_row(contender.executable.label, each.name, *shapes)
    return Group(table, listed)


def _count(number: int | None, marked: bool) -> "Text":
    """A number of parameters, a dash where there is no such layer, an asterisk where `marked`."""
    from rich.text import Text

    text = "–" if number is None else f"{number:,}"
    return Text(f"* {text}", "red") if marked else Text(text)


def sizes(shape: Shape) -> str:
    """Height, width and channels as one word; a scalar has size 1."""
    return "×".join(map(str, shape)) or "1"
