"""`resnet-bench run`: a request measured, and shown as it goes."""

import argparse
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path

from bench.cli.request import cells_here, request_arguments, request_of
from bench.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to measure, how much of it, and where the results go."""
    request_arguments(parser)
    add = parser.add_argument
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of the results (default: results/ and the time and the profile)",
    )
    add(
        "--resume",
        type=Path,
        metavar="DIR",
        help="go on with the run of this folder: measure what is missing",
    )
    add(
        "--machine-name",
        metavar="NAME",
        help="name of this machine in the records (default: the host's)",
    )


def check_resumable(options: argparse.Namespace) -> None:
    """Raises UsageError where options would change what an earlier run was asked for."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    bare = vars(parser.parse_args([]))
    given = [name for name, value in bare.items() if getattr(options, name) != value]
    changing = [name for name in given if name not in ("timeout", "resume")]
    if changing:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in changing)
        raise UsageError(f"--resume goes on with what the run was asked for: leave out {flags}")
