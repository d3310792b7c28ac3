"""`resnet-bench certify`: implementations compared with the reference, check by check."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.arguments import executable_arguments, training_of, wait_argument
from bench.executables import Executable
from bench.identity.certificate import Certificate
from bench.obstacles import obstacle
from bench.request.matrix import named
from bench.request.profiles import PROFILES
from bench.request.request import Request

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Certified:
    """An executable with its certificate, or why there is none; by results/certify.schema.json."""

    executable: Executable
    passed: bool
    certificate: Certificate | None
    reason: str | None = None  # unavailable, unsupported


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which executables, and where their certificates go."""
    executable_arguments(parser)
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="write the certificates to this file, as a Markdown table; a table that is there "
        "keeps its other rows",
    )
    parser.add_argument("--json", action="store_true", help="print them as JSON, for programs")
    wait_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Work out every certificate and show its checks; 1 where one fails or there is none."""
    from bench.calibrate.certify import certify
    from bench.cli.terminal import console, notice
    from bench.identity import article
    from bench.machine.exclusive import alone
    from bench.reports.formats.certificates import save
    from bench.run.check import cells_here
    from bench.run.here import code_version
    from bench.worker.environment import withheld

    by = code_version()
    request = _request(options)
    executables = list(dict.fromkeys(cell.executable for cell in cells_here(request)))
    obtained: dict[Executable, Certificate] = {}
    obstacles = {each: found for each in executables if (found := obstacle(each))}
    for line in () if options.json else withheld():
        console().print(line, soft_wrap=True)
    for each, (status, reason) in () if options.json else obstacles.items():
        console().print(f"{each.name}: {status}: {reason}", soft_wrap=True)
    save(options.out, obtained, by)  # a path that cannot be written is known at once
    with alone(wait=options.wait, say=notice):
        for each, certificate in certify(executables, timeout_s=options.timeout, remembered=False):
            if not options.json:
                console().print(_table(each, certificate))
            obtained[each] = certificate
            done = {each: obtained[each] for each in executables if each in obtained}
            save(options.out, done, by)
    if options.json:
        _print_json(obtained, obstacles)
    elif article.of_the_pair(each.implementation for each in executables):
        console().print("\nHow the pair differs:", *article.lines(), sep="\n", soft_wrap=True)
    missing = not obtained or named(obstacles, request)
    failed = not all(certificate.passed for certificate in obtained.values())
    return 1 if missing or failed else 0


def _print_json(
    obtained: Mapping[Executable, Certificate], obstacles: Mapping[Executable, tuple[str, str]]
) -> None:
    import json

    from bench.validation import plain

    found = [Certified(each, proof.passed, proof) for each, proof in obtained.items()]
    found += [
        Certified(each, False, None, f"{status}: {reason}")
        for each, (status, reason) in obstacles.items()
    ]
    print(json.dumps(plain(found), indent=2))


def _request(options: argparse.Namespace) -> Request:
    """Training of what is named: of what `run` would measure, nothing else changes a program."""
    from bench.run.check import filled

    request = Request(
        impl=tuple(options.impl or ["all"]),
        mode=options.mode and tuple(options.mode),
        model=tuple(options.model),
        workload=("train",),
        device=options.device and tuple(options.device),
        precision=tuple(options.precision),
        optimizer=tuple(options.optimizer),
        recipe=options.recipe,
        **training_of(options),
    )
    return filled(request, PROFILES["quick"])


def _table(executable: Executable, certificate: Certificate) -> "Table":
    """Every check of both halves: the error, and the largest that passes."""
    from rich.text import Text

    from bench.identity.certificate import stated
    from bench.reports.formats.plain_table import plain_table

    device, precision, model = executable.device, executable.precision, executable.model
    what = executable.trained
    table = plain_table(title=f"\n{executable.label} {model} {device} {precision} {what}")
    for name in ("half", "check", "error", "limit", "verdict"):
        table.add_column(name, no_wrap=True)
    halves = {certificate.float64.instead or "fp64": certificate.float64}
    halves |= {precision: certificate.timed}
    for kind, half in halves.items():
        for name, error, limit in half.checks:
            good = error is not None and error <= limit
            table.add_row(
                kind,
                name,
                stated(name, error),
                "0" if not limit else f"{limit:.0e}",
                Text("passed", "green") if good else Text("failed", "red"),
            )
        if half.failure:
            table.add_row(kind, half.failure, "", "", Text("failed", "red"))
    return table
