"""What is derived from the records: each module renders them to the text of one or more files.

To add a report, add its module here and its file to `REPORTS`. The page and the plots, which
`render.py` draws in a process of its own, are not among them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from bench.records import Record
from bench.reports import csv, markdown

# Records, and the `run.json` of each run that they come from -> the text of a file, or its lines
Render = Callable[[Sequence[Record], Sequence[Mapping[str, Any]]], str | Iterable[str]]

REPORTS: dict[str, Render] = {
    "results.csv": csv.results,
    "summary.csv": csv.summary,
    "report.md": markdown.render,
}
