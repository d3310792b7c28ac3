"""`resnet-bench`: its commands, and what becomes of a mistake."""

import argparse
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from bench import __version__
from bench.cli import catalogue, certify, compare, describe, doctor, machine, report, run
from bench.errors import UsageError

# Each module has `add_arguments(parser)` and `run(options) -> exit code`. What takes long to
# import, they import there, so that `--help` and `list` answer at once.
COMMANDS: dict[str, tuple[ModuleType, str]] = {
    "list": (catalogue, "show the implementations and models, and what is installed"),
    "run": (run, "measure, and write a report"),
    "report": (report, "write the reports of runs again, of each or of all merged"),
    "compare": (compare, "compare runs with a base; fails where a cell is worse than allowed"),
    "certify": (certify, "prove implementations identical to the reference, anew"),
    "describe": (describe, "show a model's layers, or how each implementation builds them"),
    "doctor": (doctor, "plant faults, and see that they are caught"),
    "machine": (machine, "show what this machine is, as JSON"),
}
FAILING = ("run", "certify", "compare")  # whose exit code says more than that they ran


class Parser(argparse.ArgumentParser):
    """A parser whose mistakes are one line; the usage is a `--help` away."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def parser() -> Parser:
    """The command line of `resnet-bench`."""
    top = Parser(
        prog="resnet-bench",
        description="Compare deep-learning frameworks and hardware on one ResNet, side by side.",
    )
    top.add_argument("--version", action="version", version=f"resnet-bench {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module, summary) in COMMANDS.items():
        module.add_arguments(commands.add_parser(name, help=summary))
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, of `arguments` or else of the process; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        options = parser().parse_args(words)
        options.words = words
        return int(COMMANDS[options.command][0].run(options))
    except UsageError as error:
        print(f"resnet-bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("resnet-bench: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1 if options.command in FAILING else 0
