"""`resnet-bench`: what can be asked for, and what is done about it."""

import argparse
import os
import sys
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from bench.cells import Cell, obstacle
from bench.cli.options import described_cells, parser, requested, requested_cells
from bench.errors import UsageError, unknown
from bench.request.matrix import named

if TYPE_CHECKING:  # imported where they are used, so that `--help` and `list` answer at once
    from rich.console import Console

    from bench.identity.certificate import Certificate


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    try:
        options = parser().parse_args(arguments)
        return COMMANDS[options.command](options)
    except UsageError as error:
        print(f"resnet-bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("resnet-bench: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1 if options.command in ("run", "certify", "compare") else 0


def run(options: argparse.Namespace) -> int:
    """Measure a matrix of cells, or what is left of an interrupted run."""
    from bench.cli import run as command

    return command.run(options, console())


def certify(options: argparse.Namespace) -> int:
    """Compare implementations with the reference, and show every check."""
    from bench.calibrate.certify import certify as certificates
    from bench.calibrate.certify import executable
    from bench.cli.terminal import certificate_table
    from bench.identity import article
    from bench.reports.formats.certificates import write

    # as executables, since what only infers is asked for as if it trained
    cells = [executable(cell) for cell in requested_cells(requested(options))]
    obtained: dict[Cell, Certificate] = {}
    obstacles = {cell: found for cell in cells if (found := obstacle(cell))}
    for cell, (status, reason) in obstacles.items():
        name = f"{cell.label} {cell.precision} {cell.model}"
        console().print(f"{name}: {status}: {reason}", soft_wrap=True)
    write(options.out, obtained)  # a path that cannot be written is known at once
    for cell, certificate in certificates(cells, timeout_s=options.timeout, remembered=False):
        if certificate is not None:
            console().print(certificate_table(cell, certificate))
            obtained[cell] = certificate
            write(options.out, obtained)
    if article.exhibited(cell.implementation for cell in cells):
        console().print("\nHow the pair differs:", *article.lines(), sep="\n", soft_wrap=True)
    missing = not obtained or named(obstacles, options.impl)
    failed = not all(certificate.passed for certificate in obtained.values())
    return 1 if missing or failed else 0


def report(options: argparse.Namespace) -> int:
    """Derive the reports of runs again, of each or of all merged, or the index of a folder."""
    from bench.cli import report as command

    return command.report(options)


def compare(options: argparse.Namespace) -> int:
    """Compare runs with a base, and fail where a cell has become worse than allowed."""
    from bench.cli import compare as command

    return command.run(options)


@cache
def console() -> "Console":
    """Standard output, wide enough for a ranking where it is no terminal; [brackets] are text."""
    from bench.cli.terminal import Terminal

    return Terminal(width=None if sys.stdout.isatty() else 120, markup=False, highlight=False)


def list_catalogue(options: argparse.Namespace) -> int:
    """Show the implementations and the models."""
    from bench.cli.terminal import catalogue_table
    from resnet_impls.architecture import ARCHITECTURES

    console().print(catalogue_table())
    console().print("models: " + ", ".join(ARCHITECTURES), soft_wrap=True)
    return 0


def describe(options: argparse.Namespace) -> int:
    """Show a model layer by layer, or side by side as implementations build it."""
    from bench.calibrate.describe import build
    from bench.cli.terminal import built_tables, description_table, status_line
    from resnet_impls.architecture import ARCHITECTURES

    if options.model not in ARCHITECTURES:
        raise UsageError(unknown("model", options.model, ARCHITECTURES))
    architecture = ARCHITECTURES[options.model]
    if options.impl is None:
        console().print(description_table(architecture))
        return 0
    contenders = list(build(described_cells(options)))
    absent = [contender for contender in contenders if contender.status != "ok"]
    if built := [contender for contender in contenders if contender not in absent]:
        console().print(built_tables(architecture, built))
    for contender in absent:
        console().print(status_line(contender), soft_wrap=True)
    return 1 if absent else 0


def doctor(options: argparse.Namespace) -> int:
    """Have the instrument examine itself, or measure this machine's noise floor."""
    from bench.cli import doctor as command

    return command.run(options, console())


def show_machine(options: argparse.Namespace) -> int:
    """Show the facts about this machine that every run keeps, as JSON."""
    import json

    from bench.calibrate import peaks
    from bench.machine import facts as machine

    facts = machine.facts(options.machine_name)
    if options.peaks:
        facts["peaks"] = peaks.of_this_machine()
    print(json.dumps(facts, indent=2))
    return 0


COMMANDS = {
    "list": list_catalogue,
    "run": run,
    "report": report,
    "compare": compare,
    "certify": certify,
    "describe": describe,
    "doctor": doctor,
    "machine": show_machine,
}
