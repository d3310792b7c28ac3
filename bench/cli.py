"""`resnet-bench`: what can be asked for, and what is done about it."""

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import __version__
from bench.cells import Cell, UsageError, unknown
from bench.options import (
    check_resumable,
    described_cells,
    parser,
    requested,
    requested_cells,
)

if TYPE_CHECKING:  # imported where they are used, so that `--help` and `list` answer at once
    from rich.console import Console

    from bench.certify import Certificate
    from bench.run_folder import RunFolder
    from bench.schedule import Task

# Ends that are no fault of the run: a row says so, and only a cell asked for by name fails the run
EXPECTED = ("unavailable", "unsupported")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    try:
        options = parser().parse_args(arguments)
        return COMMANDS[options.command](options)
    except UsageError as error:
        print(f"resnet-bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("resnet-bench: interrupted; nothing was measured", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1 if options.command in ("run", "certify") else 0


def run(options: argparse.Namespace) -> int:
    """Measure a matrix of cells, or what is left of an interrupted run."""
    from bench.peaks import probe
    from bench.run import certified, check_weights, shared_data
    from bench.run_folder import RunFolder, check_free
    from bench.stopping import rounds

    if options.resume:
        check_resumable(options)
    earlier = RunFolder.open(options.resume) if options.resume else None
    asked = earlier.run["options"] if earlier else requested(options)
    cells = requested_cells(asked)
    check_weights(cells)
    now = datetime.now(UTC)
    path = options.out or Path(f"results/{now:%Y%m%d-%H%M%S}-{options.profile}")
    if not earlier:
        check_free(path)

    data_dir = asked["data_dir"] and Path(asked["data_dir"])
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with shared_data(cells, data_dir) as data_folders:
        folder = earlier or RunFolder.create(path, description(path, now, options, asked))
        folder.drop_cut_off_line()
        interrupted = False
        try:
            if "peaks" not in folder.run:
                folder.note(peaks=probe(cells, options.timeout, console().print))
            certificates = {}
            if asked["certify"]:
                certificates = certified(cells, options.timeout, console().print)
            for left in rounds(folder.run, cells, folder.records, console().print):
                _measure(folder, asked, left, data_folders, certificates, options.timeout)
        except KeyboardInterrupt:
            interrupted = True
    return _conclude(folder, asked, interrupted)


def description(
    path: Path, now: datetime, options: argparse.Namespace, asked: Mapping[str, Any]
) -> dict[str, Any]:
    """What `run.json` says of a new run."""
    from bench import machine
    from bench.doctor import noise

    facts = machine.facts(options.machine_name)
    return {
        "schema": 1,
        "run_id": path.resolve().name,
        "utc": now.isoformat(timespec="seconds"),
        "resnet_bench": __version__,
        "command": shlex.join(["resnet-bench", *sys.argv[1:]]),
        "options": asked,
        "machine": facts,
        "noise_floor": noise.known(asked["device"], asked["replicates"], facts),
    }


def _measure(
    folder: "RunFolder",
    asked: Mapping[str, Any],
    left: Sequence["Task"],
    data_folders: Mapping[Cell, Path],
    certificates: Mapping[Cell, "Certificate"],
    timeout_s: float,
) -> None:
    """Measure what is left of a round, and append each record as soon as it is known."""
    from bench.run import measure
    from bench.terminal import Display

    cells = len({cell for cell, _ in left})
    console().print(
        f"{cells} cells, {len(left)} processes to measure, into {folder.path}", soft_wrap=True
    )
    folder.logs.mkdir(exist_ok=True)
    with Display(left, console()) as display:
        records = measure(
            left,
            data_folders,
            certificates,
            run_id=folder.run["run_id"],
            machine_facts=folder.run["machine"],
            logs=folder.logs,
            timeout_s=timeout_s,
            seed=asked["seed"],
            on_turn=display.turn,
            weights=folder.path / "weights" if asked.get("save_weights") else None,
            peaks=folder.run.get("peaks", {}),
        )
        with closing(records):
            for record in records:
                folder.append(record)
                display.record(record)


def _conclude(folder: "RunFolder", asked: Mapping[str, Any], interrupted: bool) -> int:
    """Write the reports, show the ranking, and say by the exit code how it went."""
    from bench.reports import ranking, state
    from bench.stopping import shortfall, unreached

    folder.write_reports()
    rows = folder.records()
    for table in ranking.tables(rows, [folder.run]):
        console().print(table)
    if trouble := state.notice(rows):
        console().print(trouble, soft_wrap=True)
    for standing in unreached(rows, folder.run):
        console().print(f"not precise enough: {shortfall(standing)}", soft_wrap=True)
    console().print(f"report: {folder.path / 'report.md'}", soft_wrap=True)
    if interrupted:
        print(
            f"interrupted after {len(rows)} records; go on by: resnet-bench run --resume "
            f"{shlex.quote(str(folder.path))}",
            file=sys.stderr,
        )
        return 130
    named = "all" not in asked["impl"]
    failed = [r for r in rows if r.status != "ok" and (named or r.status not in EXPECTED)]
    return 1 if failed else 0


def certify(options: argparse.Namespace) -> int:
    """Compare implementations with the reference, and show every check."""
    from bench.certify import certify as certificates
    from bench.terminal import certificate_table

    cells = requested_cells(requested(options))
    passed = True
    for cell, certificate in certificates(cells, timeout_s=options.timeout, remembered=False):
        if certificate is not None:
            console().print(certificate_table(cell, certificate))
            passed = passed and certificate.passed
    return 0 if passed else 1


def report(options: argparse.Namespace) -> int:
    """Derive the reports of runs again, of each or of all merged."""
    from bench.run_folder import RunFolder, check_free, write_reports

    folders = [RunFolder.open(path) for path in options.folders]
    rows = [record for folder in folders for record in folder.records()]
    runs = [folder.run for folder in folders]
    if not rows:
        raise UsageError(f"{', '.join(map(str, options.folders))}: no records yet")
    if options.out:
        check_free(options.out)
        try:
            options.out.mkdir(parents=True, exist_ok=True)
            write_reports(options.out, rows, runs)
        except OSError as error:
            raise UsageError(f"--out {options.out}: cannot be written ({error})") from None
    else:
        for folder in folders:
            folder.write_reports()
    from bench.reports import markdown

    print(markdown.render(rows, runs), end="")
    return 0


@cache
def console() -> "Console":
    """Standard output, wide enough for a ranking where it is no terminal; [brackets] are text."""
    from bench.terminal import Terminal

    return Terminal(width=None if sys.stdout.isatty() else 120, markup=False, highlight=False)


def list_catalogue(options: argparse.Namespace) -> int:
    """Show the implementations and the models."""
    from bench.terminal import catalogue_table
    from resnet_impls.architecture import ARCHITECTURES

    console().print(catalogue_table())
    console().print("models: " + ", ".join(ARCHITECTURES), soft_wrap=True)
    return 0


def describe(options: argparse.Namespace) -> int:
    """Show a model layer by layer, or side by side as implementations build it."""
    from bench.describe import build
    from bench.terminal import built_tables, description_table, status_line
    from resnet_impls.architecture import ARCHITECTURES

    if options.model not in ARCHITECTURES:
        raise UsageError(unknown("model", options.model, ARCHITECTURES))
    architecture = ARCHITECTURES[options.model]
    if options.impl is None:
        console().print(description_table(architecture))
        return 0
    contenders = list(build(described_cells(options)))
    absent = [contender for contender in contenders if contender.status != "ok"]
    if built := [contender for contender in contenders if contender not in absent]:
        console().print(built_tables(architecture, built))
    for contender in absent:
        console().print(status_line(contender), soft_wrap=True)
    return 1 if absent else 0


def doctor(options: argparse.Namespace) -> int:
    """Have the instrument examine itself, or measure this machine's noise floor."""
    from bench.doctor import command

    return command.run(options, console())


def show_machine(options: argparse.Namespace) -> int:
    """Show the facts about this machine that every run keeps, as JSON."""
    import json

    from bench import machine, peaks

    facts = machine.facts(options.machine_name)
    if options.peaks:
        facts["peaks"] = peaks.of_this_machine()
    print(json.dumps(facts, indent=2))
    return 0


COMMANDS = {
    "list": list_catalogue,
    "run": run,
    "report": report,
    "certify": certify,
    "describe": describe,
    "doctor": doctor,
    "machine": show_machine,
}
