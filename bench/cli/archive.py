"""`resnet-bench archive`: a run as one file, for those who review it as an artifact."""

import argparse
from pathlib import Path

from bench.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which run, and where to."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="the folder of a run")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="the archive to write (default: the run's name and .tar.gz, in this folder)",
    )


def run(options: argparse.Namespace) -> int:
    """Write the archive, and say its SHA-256."""
    from bench.cli.check import findings_of, lines
    from bench.cli.terminal import console
    from bench.reports.artifact import pack

    found = findings_of(options.folder)
    out = options.out or Path(f"{options.folder.resolve().name}.tar.gz")
    if out.exists():
        raise UsageError(f"--out {out}: is there already; name another file")
    try:
        digest = pack(options.folder, out, "\n".join(lines(found, options.folder.name)))
    except OSError as error:
        raise UsageError(f"--out {out}: cannot be written ({error.strerror})") from None
    console().print(f"{digest}  {out}", soft_wrap=True)
    if against := [each.name for each in found if not each.fit]:
        hint = f"resnet-bench check {options.folder}"
        console().print(f"not fit to publish ({', '.join(against)}); see {hint}", soft_wrap=True)
    return 0
