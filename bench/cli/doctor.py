"""`resnet-bench doctor`: what a person sees of it, and the exit code."""

import argparse
import math
from time import monotonic

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.analysis.statistics import noise_floor
from bench.calibrate import noise
from bench.doctor import examination
from bench.errors import UsageError
from bench.parent.child import Failure
from bench.request.profiles import PROFILES

STYLES = {"passed": "green", "failed": "bold red"}  # not run: as it is


def run(options: argparse.Namespace, console: Console) -> int:
    """The self-tests, or with `--aa` the noise floor. 1 where a test or a worker failed."""
    if options.aa:
        return _noise(options, console)
    if given := [f"--{name}" for name in ("impl", "device") if getattr(options, name)]:
        raise UsageError(f"{', '.join(given)}: says what --aa compares with itself; add --aa")
    console.print("planting faults in this instrument; about a minute or two")
    start_s = monotonic()
    findings = list(examination.examine())
    table = Table(box=None, header_style="dim", pad_edge=False)
    for name in ("", "test", "planted", "seen"):
        table.add_column(name, overflow="fold", no_wrap=not name)
    for finding in findings:
        verdict = Text(finding.verdict, STYLES.get(finding.verdict, ""))
        table.add_row(verdict, finding.test, finding.planted, finding.seen)
    console.print(table)
    counts = {
        verdict: sum(finding.verdict == verdict for finding in findings)
        for verdict in ("passed", "failed", "not run")
    }
    console.print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()), end="")
    console.print(f" in {monotonic() - start_s:.0f} s")
    return 1 if counts["failed"] else 0


def _noise(options: argparse.Namespace, console: Console) -> int:
    """Measure the noise floor, keep it and show it. 1 where a worker failed."""
    cell = noise.cell(options.impl, options.device)
    console.print(
        f"{cell.label}, {cell.contest_label}, against itself in {noise.PAIRS} pairs of processes; "
        "a minute or three",
        soft_wrap=True,
    )
    logs = []
    try:
        for log in noise.log_ratios(cell):
            logs.append(log)
            console.print(f"pair {len(logs)}: {math.expm1(abs(log)):.2%} apart")
    except Failure as failure:
        console.print(f"{failure.status}: {failure.reason}", soft_wrap=True)
        return 1
    console.print(
        f"noise floor of {cell.device}, which 95 of 100 comparisons of equal cells stay below:"
    )
    for name, profile in PROFILES.items():
        floor = noise_floor(logs, profile.replicates)
        console.print(
            f"  {floor:.2%} with {profile.replicates} processes per cell (--profile {name})"
        )
    console.print(
        f"kept in {noise.remember(cell, logs)}; runs on this machine take it over", soft_wrap=True
    )
    return 0
