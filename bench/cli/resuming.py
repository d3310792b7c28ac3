"""`run --resume`: which options may go with it, and when it is what a user needs."""

import argparse
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.errors import UsageError


def check_resumable(options: argparse.Namespace, also: Sequence[str] = ()) -> None:
    """Raises UsageError where options would change what an earlier run was asked for; those of
    `also` do not.
    """
    bare = vars(options.parser.parse_args([]))
    given = [name for name, value in bare.items() if getattr(options, name) != value]
    changing = [name for name in given if name not in ("timeout", "resume", "wait", *also)]
    if changing:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in changing)
        raise UsageError(f"--resume goes on with what the run was asked for: leave out {flags}")


@contextmanager
def resumable(path: Path) -> Iterator[None]:
    """Have an error that nobody foresaw say how to go on with the run in `path`."""
    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        if os.path.exists(path / "run.json"):
            words = f"resnet-bench run --resume {shlex.quote(str(path))}"
            error.add_note(f"the records so far are kept: go on by: {words}")
        raise
