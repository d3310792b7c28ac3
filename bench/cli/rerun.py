"""`resnet-bench rerun`: rows of an earlier run, measured again as they were."""

import argparse
import csv
import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cells import Cell
from bench.cli.arguments import seconds, wait_argument
from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.records import Record, Run
    from bench.request.request import Request


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which run, which of its rows, and where the results go."""
    add = parser.add_argument
    add("run", type=Path, metavar="RUN", help="the run: its folder")
    add(
        "--row",
        nargs="+",
        action="append",
        metavar="WORD",
        help="measure only the rows that have all of these words, as a report or a CSV file has "
        "them: --row torch_module eager, or --row 'torch_module,torch,eager,resnet14,train'; may "
        "be given several times",
    )
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of the results (default: results/ and the time)",
    )
    add(
        "--timeout",
        type=seconds,
        metavar="S",
        default=600.0,
        help="seconds that a worker may take for one answer (default: 600)",
    )
    wait_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Say what differs between then and now, measure again, and compare; exit codes as `run`'s."""
    from bench.cli.ending import conclude
    from bench.cli.resuming import resumable
    from bench.cli.run import watched
    from bench.records.folder import RunFolder
    from bench.records.run import Rerun
    from bench.run.check import check_code
    from bench.run.here import differences
    from bench.run.run import begin

    folder = RunFolder.open(options.run)
    check_code(folder)
    rows = chosen(folder.records(), options.row)
    say, display = watched()
    other = differences(folder.run, rows)
    for line in other:
        say(f"differs: {line}")
    if not other:
        say("code, machine and packages are those of then")
    names = tuple(dict.fromkeys(row.cell.name for row in rows))
    path = options.out or Path("results") / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-rerun"
    with ExitStack() as until:
        with resumable(path):
            ended = begin(
                request_again(folder.run, rows),
                path,
                command=shlex.join(["resnet-bench", *options.words]),
                timeout_s=options.timeout,
                say=say,
                display=display,
                rerun=Rerun(of=folder.run.run_id, rows=names),
                wait=options.wait,
                until=until,
            )
        code = conclude(ended)
    if not ended.interrupted:
        say(compared(folder.run, rows, ended.folder.path))
    return code


def chosen(records: Sequence["Record"], given: Sequence[Sequence[str]] | None) -> list["Record"]:
    """The records of all rows that one of `given` names; all where none is given.

    Raises UsageError where one names none.
    """
    if not records:
        raise UsageError("the run holds no rows yet: go on with it by run --resume")
    if given is None:
        return list(records)
    names = dict.fromkeys(record.cell.name for record in records)
    found: dict[Cell, None] = {}
    for words in given:
        asked = _asked(words)
        cells = {r.cell: None for r in records if asked <= _words(r.cell)}
        if not cells:
            rows = "; ".join(names)
            raise UsageError(f"--row {' '.join(words)}: no row has all of it; rows: {rows}")
        found |= cells
    return [record for record in records if record.cell in found]


def _words(cell: Cell) -> set[str]:
    """What a cell may be known by: the words of its report, and its columns."""
    columns = {str(value) for value in cell.as_dict().values() if value is not None}
    return columns | set(cell.name.split())


def _asked(words: Sequence[str]) -> set[str]:
    """The words of one `--row`; of a line that was copied from a CSV file, the cell's columns."""
    from bench.records import FIELDS

    text = " ".join(words)
    columns = next(csv.reader([text]))
    names = [field.name for field in fields(Cell)]
    if len(columns) == len(FIELDS):
        return {columns[FIELDS.index(name)] for name in names} - {""}
    if len(columns) > len(names) + 2:  # of summary.csv, behind machine and processor
        return set(columns[2 : 2 + len(names)]) - {""}
    return set(text.replace(",", " ").split())


def request_again(run: "Run", rows: Sequence["Record"]) -> "Request":
    """The request of a run, for as many processes as its rows really had."""
    processes = 1 + max(row.replicate for row in rows)
    return run.options.every(replicates=processes, precision_target=None, max_replicates=None)


def compared(run: "Run", rows: Sequence["Record"], path: Path) -> str:
    """Then against now, in Markdown; or why that cannot be."""
    from bench.compare import markdown
    from bench.compare.comparison import comparisons
    from bench.compare.sides import Side, side

    try:
        found = comparisons(Side(run.run_id, list(rows), [run]), [side(path)], {})
    except UsageError as error:
        return str(error)
    return markdown.render(found, {}, controlled=False)
