"""`resnet-bench report --history`: each contender's speed over many runs, and what has changed."""

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from bench.errors import UsageError
from bench.records import Run
from bench.records.folder import RunFolder
from bench.records.shards import united

if TYPE_CHECKING:
    from bench.records import Record
    from bench.records.shards import Source


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
    sources, remarks = united(
        [(folder.run, rows) for folder, rows in found], [folder.path for folder, _ in found]
    )
    places = _places(found, sources)
    reports = {path: _report_of(path) for path in places.values()}
    told = history(sources, options.control, options.by or "date")
    told = replace(told, remarks=(*remarks, *told.remarks))

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


def _places(
    found: "Sequence[tuple[RunFolder, Sequence[Record]]]", sources: "Iterable[Source]"
) -> dict[tuple[str, str | None], Path]:
    """The folder of each run; of one that was put together from shards that of its earliest."""
    places = {(folder.run.run_id, folder.run.utc): folder.path for folder, _ in found}
    shards = {folder.run.utc: folder.path for folder, _ in reversed(found) if folder.run.shard}
    for run, _ in sources:
        if (run.run_id, run.utc) not in places:
            places[run.run_id, run.utc] = shards[run.utc]
    return places


def _report_of(path: Path) -> Path:
    """What is linked of a run: its page, its report, or what there is."""
    names = ("report.html", "report.md", "run.json")
    return next((path / name for name in names if (path / name).exists()), path)
