"""`resnet-bench run`: from a command line to a folder of results, and the exit code."""

import argparse
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import __version__
from bench.analysis.precision import shortfall, unreached
from bench.calibrate import largest, noise
from bench.calibrate.certify import certified
from bench.calibrate.peaks import probe
from bench.cells import Cell
from bench.cli.options import check_resumable, requested, requested_cells
from bench.cli.terminal import Display
from bench.data.sharing import shared_data
from bench.errors import UsageError
from bench.files import CACHE, writable
from bench.identity.certificate import Certificate
from bench.machine import facts as machine
from bench.parent.measurement import Task
from bench.processes import ENDING
from bench.records import EXPECTED
from bench.records.folder import RunFolder, check_free
from bench.reports.formats import terminal as ranking
from bench.reports.sections import around_blocks as state
from bench.request.matrix import named
from bench.run.measure import check_weights, measure
from bench.run.stopping import rounds


def run(options: argparse.Namespace, console: Console) -> int:
    """Measure a matrix of cells, or what is left of an interrupted run."""
    if options.resume:
        check_resumable(options)
    earlier = RunFolder.open(options.resume) if options.resume else None
    if earlier:
        check_machine(earlier)
    asked = earlier.run["options"] if earlier else requested(options)
    cells = requested_cells(asked)
    check_weights(cells)
    now = datetime.now(UTC)
    path = options.out or Path(f"results/{now:%Y%m%d-%H%M%S}-{options.profile}")
    if not earlier:
        check_free(path)
        writable(CACHE)  # where peaks and certificates are kept

    data_dir = asked["data_dir"] and Path(asked["data_dir"])
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, signal.default_int_handler)
    with shared_data(cells, data_dir) as data_folders:
        cells, data_folders = largest.found(
            asked, cells, data_folders, options.timeout, console.print
        )
        folder = earlier or RunFolder.create(path, description(path, now, options, asked))
        folder.drop_cut_off_line()
        interrupted = False
        try:
            if "peaks" not in folder.run:
                folder.note(peaks=probe(cells, options.timeout, console.print))
            certificates = {}
            if asked["certify"]:
                certificates = certified(cells, options.timeout, console.print)
            console.print(f"measuring into {folder.path}", soft_wrap=True)
            for left in rounds(folder.run, cells, folder.records, console.print):
                _measure(folder, asked, left, data_folders, certificates, options.timeout, console)
        except KeyboardInterrupt:
            interrupted = True
    try:
        return _conclude(folder, asked, interrupted, console)
    except KeyboardInterrupt:
        remedy = f"resnet-bench report {shlex.quote(str(folder.path))}"
        print(f"interrupted before all was reported; do so by: {remedy}", file=sys.stderr)
        return 130


def check_machine(folder: RunFolder) -> None:
    """Raises UsageError where a run was begun on other hardware than this machine's.

    Its rows would be told apart by nothing, as a run is of one machine.
    """
    began, here = (
        {
            "CPU": facts["cpu"],
            "number of CPUs": facts["logical_cores"],
            "GPUs": ", ".join(gpu["name"] for gpu in facts["gpus"]) or "none",
        }
        for facts in (folder.run["machine"], machine.facts())
    )
    if changed := [
        f"{what} {began[what]}, here {here[what]}" for what in here if began[what] != here[what]
    ]:
        raise UsageError(
            f"--resume {folder.path}: begun on another machine ({'; '.join(changed)}); begin a run "
            "here, and put both together by resnet-bench report"
        )


def description(
    path: Path, now: datetime, options: argparse.Namespace, asked: Mapping[str, Any]
) -> dict[str, Any]:
    """What `run.json` says of a new run."""
    facts = machine.facts(options.machine_name)
    # a run may be resumed from another folder
    impl = [str(Path(name).absolute()) if name.endswith(".py") else name for name in asked["impl"]]
    return {
        "schema": 1,
        "run_id": path.resolve().name,
        "utc": now.isoformat(timespec="seconds"),
        "resnet_bench": __version__,
        "commit": commit(),
        "command": shlex.join(["resnet-bench", *sys.argv[1:]]),
        "options": {**asked, "impl": impl},
        "machine": facts,
        "noise_floor": noise.known(asked["device"], asked["replicates"], facts),
    }


def commit() -> str | None:
    """The commit of this code, with `-dirty` where it was changed since; None where nobody tells.

    A package may be installed below somebody else's checkout, whose commit says nothing of it.
    """
    here = Path(__file__)

    def git(*words: str) -> str:
        command = ["git", "-C", str(here.parent), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", here.name)
        return git("describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return None


def _measure(
    folder: RunFolder,
    asked: Mapping[str, Any],
    left: Sequence[Task],
    data_folders: Mapping[Cell, Path],
    certificates: Mapping[Cell, Certificate],
    timeout_s: float,
    console: Console,
) -> None:
    """Measure what is left of a round, and append each record as soon as it is known."""
    folder.logs.mkdir(exist_ok=True)
    with Display(left, console) as display:
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


def _conclude(
    folder: RunFolder, asked: Mapping[str, Any], interrupted: bool, console: Console
) -> int:
    """Write the reports, show the ranking, and say by the exit code how it went."""
    folder.write_reports()
    rows = folder.records()
    for table in ranking.tables(rows, [folder.run]):
        console.print(table)
    if trouble := state.notice(rows):
        console.print(trouble, soft_wrap=True)
    for standing in unreached(rows, folder.run):
        console.print(f"not precise enough: {shortfall(standing)}", soft_wrap=True)
    console.print(f"report: {folder.path / 'report.md'}", soft_wrap=True)
    if interrupted:
        print(
            f"interrupted after {len(rows)} records; go on by: resnet-bench run --resume "
            f"{shlex.quote(str(folder.path))}",
            file=sys.stderr,
        )
        return 130
    failed = {row.cell for row in rows if row.status not in ("ok", *EXPECTED)}
    missing = named((row.cell for row in rows if row.status in EXPECTED), asked["impl"])
    return 1 if failed or missing else 0
