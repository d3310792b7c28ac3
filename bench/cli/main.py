"""`resnet-bench`: its commands, and what becomes of a mistake."""

import argparse
import os
import sys
from collections.abc import Collection, Sequence
from importlib import import_module
from types import ModuleType
from typing import NoReturn

from bench import __version__
from bench.cli import completion, last_resort, outlets
from bench.errors import UsageError, check_text
from bench.words import printable

# Each is a module of this folder, with `add_arguments(parser)` and `run(options) -> exit code`
COMMANDS = {
    "list": "show the implementations and models, and what is installed",
    "run": "measure, and write a report",
    "cluster": "have a run measured by the nodes of a cluster, a shard on each",
    "rerun": "measure rows of an earlier run again, as they were",
    "report": "write the reports of runs again, of each or of all merged",
    "check": "say whether runs are fit to be published",
    "archive": "pack a run for its reviewers, with the SHA-256 of each file",
    "compare": "compare runs with a base; fails where a cell is worse than allowed",
    "certify": "prove implementations identical to the reference, anew",
    "describe": "show a model's layers, or how each implementation builds them",
    "doctor": "plant faults, and see that they are caught",
    "machine": "show what this machine is, as JSON",
}
UNFORESEEN = 70  # the exit code of a fault of this program, EX_SOFTWARE of sysexits.h


class Parser(argparse.ArgumentParser):
    """A parser whose mistakes are one line; the usage is a `--help` away."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def parser(commands: Collection[str] = tuple(COMMANDS)) -> Parser:
    """The command line of `resnet-bench`. Only `commands` get their arguments, since others need
    not be imported: `--help` and `list` answer at once.
    """
    top = Parser(
        prog="resnet-bench",
        description="Compare deep-learning frameworks and hardware on one ResNet, side by side.",
    )
    top.add_argument("--version", action="version", version=f"resnet-bench {__version__}")
    top.add_argument(
        "--print-completion",
        action=completion.PrintCompletion,
        whole=parser,
        choices=completion.SHELLS,
        metavar="SHELL",
        help=f"print what this shell needs to complete commands: {', '.join(completion.SHELLS)}",
    )
    offered = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        command = offered.add_parser(name, help=summary)
        if name in commands:
            _module(name).add_arguments(command)
    return top


def _module(command: str) -> ModuleType:
    return import_module(f"bench.cli.{command}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, of `arguments` or else of the process; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    with outlets.enduring() as output:
        code = _answer(words)
        if output:
            sys.stdout.flush()
            if lost := outlets.told(output.failure):
                _say(lost)
                measured = words[0] in ("run", "rerun") and "--plan" not in words
                return code if measured else code or 1  # results are in the folder of the run
        return code


def _answer(words: Sequence[str]) -> int:
    """Run the command that `words` are; what ends it is told in one line."""
    try:
        for word in words:
            check_text(word)
        _check_place()
        options = parser(words[:1]).parse_args(words)
        options.words = words
        return int(_module(options.command).run(options))
    except UsageError as error:
        _say(str(error))
        return 2
    except KeyboardInterrupt:
        _say("interrupted")
        return 130
    except Exception as error:
        notes = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
        if isinstance(error, OSError) and last_resort.is_of_disk(error):
            _say(f"{last_resort.disk(error)}{notes}")
            return 2
        _say(f"{last_resort.unforeseen(error)}{notes}")
        return UNFORESEEN


def _check_place() -> None:
    """Raises UsageError where the working directory was removed, which relative paths are of."""
    try:
        os.getcwd()
    except OSError as error:
        raise UsageError(
            f"the working directory is gone ({error.strerror}): change to another"
        ) from None


def _say(message: str) -> None:
    """One line on standard error, whatever names and reasons are in it."""
    print(f"resnet-bench: {printable(' '.join(message.split()))}", file=sys.stderr)
