"""`index.md`, and `index.html` beside HTML reports: every run below a folder, the latest first."""

import html
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import quote

from bench.reports.answer import brief
from bench.reports.report import Report
from bench.reports.text import escape, link, table_row
from bench.words import printable

# What is linked of each run, where it is there: file -> word
FILES = {
    "report.html": "page",
    "report.md": "report",
    "summary.csv": "summary",
    "results.csv": "rows",
    "records.jsonl": "records",
    "run.json": "run",
}
COLUMNS = {  # of records -> what they are called
    "machine": "machine",
    "processor": "processor",
    "model": "models",
    "workload": "workloads",
    "precision": "precisions",
    "batch_size": "images a step",
    "steps": "steps",
}
HEADER = ("run", "begun", *COLUMNS.values(), "fastest", "files")


@dataclass(frozen=True)
class Entry:
    """One run of the index: what it holds, or why that cannot be read."""

    path: PurePosixPath  # from the folder of the index
    report: Report | None
    files: Sequence[str]  # those of FILES that are there
    reason: str | None = None

    @property
    def begun(self) -> str:
        """`2026-11-23 00:40`, in UTC; empty where unknown."""
        if self.report is None:
            return ""
        begun = self.report.runs[0].utc or min((r.utc for r in self.report.records), default="")
        return begun[:16].replace("T", " ")


def ordered(entries: Iterable[Entry]) -> list[Entry]:
    """The latest first; those that cannot be read last."""
    by_path = sorted(entries, key=lambda entry: str(entry.path))
    return sorted(by_path, key=lambda entry: entry.begun, reverse=True)


def markdown(entries: Iterable[Entry]) -> str:
    """The index as Markdown."""
    lines = ["# Runs", "", table_row(HEADER), table_row(["---"] * len(HEADER))]
    for entry in ordered(entries):
        links = _links(entry)
        name, *columns = _columns(entry)
        first = link(name, links[0][1]) if links else escape(name)
        files = " · ".join(link(word, address) for word, address in links)
        lines.append(table_row([first, *map(escape, columns), files]))
    return "\n".join(lines) + "\n"


def page(entries: Iterable[Entry]) -> str:
    """The index as HTML."""
    rows = []
    for entry in ordered(entries):
        links = " · ".join(
            f'<a href="{html.escape(link)}">{word}</a>' for word, link in _links(entry)
        )
        rows.append([*(html.escape(printable(text)) for text in _columns(entry)), links])
    head = "".join(f'<th scope="col">{name}</th>' for name in HEADER)
    body = "\n".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return PAGE.format(head=head, body=body)


PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Runs of resnet-bench</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }}
body {{ margin: 2rem; }}
main {{ overflow-x: auto; }}
table {{ border-collapse: collapse; }}
th, td {{ padding: .4rem .8rem; text-align: left; vertical-align: top; }}
tr {{ border-bottom: 1px solid #8888; }}
</style>
<main>
<h1>Runs</h1>
<table>
<thead><tr>{head}</tr></thead>
<tbody>
{body}
</tbody>
</table>
</main>
</html>
"""


def _columns(entry: Entry) -> list[str]:
    """All columns but the links, as plain text."""
    records = entry.report.records if entry.report else ()
    columns = [_listed(getattr(record, name) for record in records) for name in COLUMNS]
    answer = brief(entry.report.contests) if entry.report else f"cannot be read: {entry.reason}"
    return [str(entry.path), entry.begun, *columns, answer]


def _listed(values: Iterable[object]) -> str:
    return ", ".join(dict.fromkeys(map(str, values)))


def _links(entry: Entry) -> list[tuple[str, str]]:
    return [
        (word, quote(os.fsencode(entry.path / file)))
        for file, word in FILES.items()
        if file in entry.files
    ]
