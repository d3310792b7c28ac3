"""`--print-completion SHELL`: what a shell needs to complete our commands, by shtab."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.errors import UsageError

SHELLS = ("bash", "zsh", "tcsh")


class PrintCompletion(argparse.Action):
    """Prints the script of a shell and ends, as `--help` does; imports shtab only then.

    `whole` makes a parser that has the arguments of every command, which that of a call has not.
    """

    def __init__(
        self, *given: Any, whole: Callable[[], argparse.ArgumentParser], **named: Any
    ) -> None:
        super().__init__(*given, **named)
        self.whole = whole

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        try:
            import shtab
        except ImportError:
            raise UsageError(
                "--print-completion needs shtab, which is not installed: pip install shtab"
            ) from None
        commands = self.whole()
        _name_paths(commands, shtab.FILE)
        print(shtab.complete(commands, str(values)))
        parser.exit()


def _name_paths(parser: argparse.ArgumentParser, kind: Any) -> None:
    """Mark with `kind` every option of a parser and of its commands that takes a path."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                _name_paths(command, kind)
        elif action.type is Path:
            action.complete = kind  # type: ignore[attr-defined]
