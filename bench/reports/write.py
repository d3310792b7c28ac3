"""What is derived from the records: each module renders them to the text of one or more files.

To add a report, add its module here and its file to `REPORTS`. The page and the plots, which
`render.py` draws in a process of its own, are not among them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from bench.records import Record
from bench.reports.formats import csv, markdown

# Records, and the `run.json` of each run that they come from -> the text of a file, or its lines
Render = Callable[[Sequence[Record], Sequence[Mapping[str, Any]]], str | Iterable[str]]

REPORTS: dict[str, Render] = {
    "results.csv": csv.results,
    "summary.csv": csv.summary,
    "report.md": markdown.render,
}


def write_reports(
    path: Path, rows: Sequence[Record], runs: Sequence[Mapping[str, Any]], plots: bool = False
) -> None:
    """Render every report of `rows` into the folder `path`, replacing each file at once.

    With `plots` those of the page become files too. A page that cannot be made fails nothing: what
    it needs may not be installed, and one line on stderr says so.
    """
    from bench.reports.plots import render
    from bench.reports.write import REPORTS

    finish = render.begin(path, rows, runs, plots) if rows else lambda: None
    try:
        for name, report in REPORTS.items():
            write(path / name, report(rows, runs))
    finally:
        problem = finish()
    if problem:
        print(problem, file=sys.stderr)


def write(path: Path, text: str | Iterable[str]) -> None:
    """Replace a file as a whole: a reader sees the old text or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        file.writelines([text] if isinstance(text, str) else text)
    temporary.replace(path)
