"""`resnet-bench doctor`: the instrument tests itself here, or measures this machine's noise."""

import argparse
import math
from time import monotonic

from bench.cli.arguments import wait_argument
from bench.errors import UsageError
from bench.executables import DEVICES
from bench.request.profiles import PROFILES

STYLES = {"passed": "green", "failed": "bold red"}  # not run: as it is


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Self-tests take no options; the noise floor does."""
    add = parser.add_argument
    add(
        "--aa",
        action="store_true",
        help="measure a cell against itself instead, and keep the noise floor of this machine; "
        "later runs call smaller differences ties",
    )
    add("--impl", metavar="NAME", help="what --aa compares with itself (default: torch_module)")
    add(
        "--device",
        choices=DEVICES,
        help="where --aa does so (default: cuda where there is an NVIDIA GPU, else cpu)",
    )
    wait_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Run the self-tests, or with `--aa` measure the noise floor; 1 where one fails."""
    if options.aa:
        return _noise(options)
    if given := [f"--{name}" for name in ("impl", "device") if getattr(options, name)]:
        raise UsageError(f"{', '.join(given)}: says what --aa compares with itself; add --aa")
    from rich.text import Text

    from bench.cli.terminal import console, notice
    from bench.doctor import examination
    from bench.machine.exclusive import alone
    from bench.reports.formats.plain_table import plain_table

    with alone(wait=options.wait, say=notice):
        console().print("planting faults in this instrument; about a minute or two")
        start_s = monotonic()
        findings = list(examination.examine())
    table = plain_table()
    table.add_column("verdict", no_wrap=True)
    for name in ("test", "planted", "seen"):
        table.add_column(name, overflow="fold")
    for finding in findings:
        verdict = Text(finding.verdict, STYLES.get(finding.verdict, ""))
        table.add_row(verdict, finding.test, finding.planted, finding.seen)
    console().print(table)
    counts = {
        verdict: sum(finding.verdict == verdict for finding in findings)
        for verdict in ("passed", "failed", "not run")
    }
    console().print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()), end="")
    console().print(f" in {monotonic() - start_s:.0f} s")
    return 1 if counts["failed"] else 0


def _noise(options: argparse.Namespace) -> int:
    """Measure the noise floor, keep it and show it. 1 where a worker failed."""
    from bench.analysis.statistics import noise_floor
    from bench.calibrate import noise
    from bench.cli.terminal import console, notice
    from bench.machine import neighbours
    from bench.machine.exclusive import alone
    from bench.parent.child import Failure

    cell = noise.cell(options.impl, options.device)
    logs = []
    try:
        with alone(wait=options.wait, say=notice):
            console().print(
                f"{cell.label}, {cell.contest_label}, against itself in {noise.PAIRS} pairs of "
                "processes; a minute or three",
                soft_wrap=True,
            )
            found = neighbours.Look([cell.device]).end()
            if line := neighbours.told(found):
                console().print(line, soft_wrap=True)
            for log in noise.log_ratios(cell):
                logs.append(log)
                console().print(f"pair {len(logs)}: {math.expm1(abs(log)):.2%} apart")
    except Failure as failure:
        console().print(f"{failure.status}: {failure.reason}", soft_wrap=True)
        return 1
    console().print(
        f"noise floor of {cell.device}, which 95 of 100 comparisons of equal cells stay below:"
    )
    for name, profile in PROFILES.items():
        floor = noise_floor(logs, profile.replicates)
        console().print(
            f"  {floor:.2%} with {profile.replicates} processes per cell (--profile {name})"
        )
    console().print(
        f"kept in {noise.remember(cell, logs, found)}; runs on this machine take it over",
        soft_wrap=True,
    )
    return 0
