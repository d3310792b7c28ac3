"""`resnet-bench report` of more records than fit well into memory, or of very many machines."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.reported import altered_since, check_baseline, conclude
from bench.errors import UsageError
from bench.records import manifest
from bench.records.finding import Found
from bench.records.folder import RunFolder, check_free
from bench.records.shards import check_one_plan

if TYPE_CHECKING:
    from bench.records.stored import Stored

LARGE_MIB = 400.0  # of records: to hold them takes three times as much memory
MANY = 50  # machines, each of which would have rankings of its own


def is_fleet(options: argparse.Namespace, found: Sequence[Found]) -> bool:
    """Whether one report is asked for, of very much."""
    alone = len(found) == 1 and found[0].alone
    if options.history or not (options.out or alone):
        return False
    return is_much([folder for each in found for folder, _ in each.runs])


def is_much(folders: Sequence[RunFolder]) -> bool:
    """Whether runs are too many records to hold, or too many machines to show one by one."""
    machines = {folder.run.machine.machine for folder in folders}
    files = (folder.path / "records.jsonl" for folder in folders)
    size = sum(file.stat().st_size for file in files if file.exists())
    return size > LARGE_MIB * 2**20 or len(machines) > MANY


def run(options: argparse.Namespace, found: Sequence[Found]) -> int:
    """Write the report, or the export; returns 1 where a run below a folder cannot be read."""
    from bench.records.stored import Stored
    from bench.reports.exports import export_rows

    folders = [folder for each in found for folder, _ in each.runs]
    _check(options)
    check_one_plan(folder.run for each in found if each.alone for folder, _ in each.runs)
    stored = Stored([folder.run for folder in folders], [folder.path for folder in folders])
    if not stored.rows:
        raise UsageError(f"{', '.join(map(str, options.folders))}: no records yet")
    check_baseline(
        options.baseline, (n for machine, _, chip, _ in stored.places for n in (machine, chip))
    )
    remarks = [line for folder in folders for line in altered_since(folder)]
    if options.export:
        rows = (record for records in stored for record in records)
        print(f"written: {export_rows(rows, options.out)}")
    else:
        left_out = (path for each in found for path in each.unreadable)
        remarks += [f"{path} was left out, since it cannot be read" for path in left_out]
        out = options.out or folders[0].path
        _write(out, stored, remarks, options)
        print((out / "report.md").read_text(encoding="utf-8"), end="")
    ignored = [f"--{name}" for name in ("plots", "machines") if getattr(options, name)]
    without = [f"{' and '.join(ignored)} changed nothing: so many records have neither"]
    return conclude(found, [*stored.remarks, *remarks, *without * bool(ignored)])


def _check(options: argparse.Namespace) -> None:
    """Raises UsageError for what a report of fleets has not."""
    if options.control or options.by:
        raise UsageError("--control and --by are of a history: add --history, or leave them out")
    if options.export not in (None, "parquet"):
        raise UsageError(
            f"--export {options.export}: is not for so many records; choose --export parquet"
        )
    if options.export and not options.out:
        raise UsageError(f"--export {options.export}: give the file to write by --out FILE")


def _write(
    out: Path, stored: "Stored", remarks: Sequence[str], options: argparse.Namespace
) -> None:
    """Into a new folder `--out`, or into that of the run."""
    from bench.reports.fleet.write import write_fleet

    if options.out:
        check_free(out)
    fresh = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        with _progress() as seen:
            write_fleet(out, stored, remarks, options.baseline, seen)
        if not options.out:
            manifest.seal_reports(out)
    except OSError as error:
        raise UsageError(f"{out}: reports cannot be written ({error})") from None
    finally:
        if fresh:
            with suppress(OSError):  # which holds nothing where a line is no record
                out.rmdir()


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal's stderr, and nothing elsewhere."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("reading records")
        yield lambda done, total: progress.update(task, completed=done, total=total)
