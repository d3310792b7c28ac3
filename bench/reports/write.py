"""The files of a report: each format renders a Report to the text of a file, or its lines.

To add a format, add its file to `REPORTS`. The page and the plots, which `plots/render.py` draws in
a process of its own, are not among them.
"""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from bench.files import write
from bench.reports.formats import csv, markdown
from bench.reports.plots import render
from bench.reports.report import Report

REPORTS: dict[str, Callable[[Report], str | Iterable[str]]] = {
    "results.csv": csv.results,
    "summary.csv": csv.summary,
    "report.md": markdown.render,
}


def write_reports(path: Path, report: Report, plots: bool = False) -> None:
    """Write every format of a report into the folder `path`, replacing each file as a whole.

    With `plots` those of the page become files too. A page that cannot be made fails nothing: what
    it needs may not be installed, and one line on stderr says so.
    """
    finish = render.begin(path, report, plots) if report.records else lambda: None
    try:
        for name, text in REPORTS.items():
            write(path / name, text(report))
    finally:
        problem = finish()
    if problem:
        print(problem, file=sys.stderr)
