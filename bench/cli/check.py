"""`resnet-bench check`: whether runs are fit to be published."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.analysis.fitness import Finding


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which runs."""
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="the folder of a run")
    parser.add_argument("--json", action="store_true", help="print it as JSON, for programs")


def run(options: argparse.Namespace) -> int:
    """Show what is asked of each run, and the answers; 1 where one of them is no."""
    from bench.cli.terminal import console
    from bench.validation import plain

    found = {path: findings_of(path) for path in options.folders}
    if options.json:
        print(json.dumps({str(path): plain(each) for path, each in found.items()}, indent=2))
    else:
        for path, each in found.items():
            for line in lines(each, str(path)):
                console().print(line, soft_wrap=True)
    return 0 if all(one.fit for each in found.values() for one in each) else 1


def findings_of(path: Path) -> "list[Finding]":
    """What is found of the run in a folder. Raises UsageError where there is none."""
    from bench.analysis.fitness import findings
    from bench.records.folder import RunFolder

    folder = RunFolder.open(path)
    records = folder.records()
    if not records:
        raise UsageError(f"{path}: no records yet")
    return findings(folder.run, records)


def lines(found: "list[Finding]", name: str) -> list[str]:
    """One line for each question, then the answer to all."""
    shown = []
    for each in found:
        remedy = f"; {each.remedy}" if each.remedy else ""
        shown.append(f"{'yes' if each.fit else 'NO':4}{each.name}: {each.found}{remedy}")
    against = [each.name for each in found if not each.fit]
    verdict = f"not fit to publish: {', '.join(against)}" if against else "fit to publish"
    return [*shown, f"{name}: {verdict}"]
