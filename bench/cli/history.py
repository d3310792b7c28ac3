"""`resnet-bench report --history`: each contender's speed over many runs, and what has changed."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from bench.errors import UsageError
from bench.records import Run
from bench.records.folder import RunFolder

if TYPE_CHECKING:
    from bench.records import Record


def write_history(
    options: argparse.Namespace, found: "Sequence[tuple[RunFolder, Sequence[Record]]]"
) -> None:
    """Write `history.md` and `history.html`, and print the former.

    They go into the folder of the runs, or into `--out`. Raises UsageError as `history` does.
    """
    from bench.analysis.history import history
    from bench.files import write
    from bench.reports.history import markdown
    from bench.reports.history.page import page_of
    from bench.reports.plots import render

    out = options.out or options.folders[0]
    places = {(folder.run.run_id, folder.run.utc): folder.path for folder, _ in found}
    reports = {path: _report_of(path) for path in places.values()}
    told = history(
        [(folder.run, rows) for folder, rows in found], options.control, options.by or "date"
    )

    def address(run: Run) -> str:
        path = places.get((run.run_id, run.utc)) or next(
            path for (name, _), path in places.items() if name == run.run_id
        )
        return quote(os.path.relpath(reports[path], out))

    text = markdown.render(told, address)
    try:
        out.mkdir(parents=True, exist_ok=True)
        write(out / "history.md", text)
        problem = render.begin_history(out, page_of(told, address))()
    except OSError as error:
        raise UsageError(f"{out}: history.md cannot be written ({error.strerror})") from None
    print(text, end="")
    if problem:
        print(f"resnet-bench: {problem}", file=sys.stderr)


def _report_of(path: Path) -> Path:
    """What is linked of a run: its page, its report, or what there is."""
    names = ("report.html", "report.md", "run.json")
    return next((path / name for name in names if (path / name).exists()), path)
