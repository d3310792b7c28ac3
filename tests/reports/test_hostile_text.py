"""Text from outside stays text in every format, wherever it comes from."""

import copy
import csv
import io
import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, get_args

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from bench.cli import standing
from bench.cli.terminal import Terminal
from bench.records import Record, Run
from bench.records.record import Status
from bench.reports.formats import csv as tables
from bench.reports.formats import html, index, markdown, terminal
from bench.reports.report import Report
from bench.reports.text import link, table
from bench.validation import convert, plain
from builders import (
    HOSTILE,
    JAX,
    TENSORFLOW,
    record,
    report,
    report_md,
    run,
    section,
    table_cells,
    timed,
)
from documents import places


@pytest.mark.parametrize("reason", [HOSTILE, "<script>", "`|`", "\\", "\\|", "**", "![x](y)"])
def test_a_reason_is_shown_as_it_is_and_breaks_nothing(reason: str) -> None:
    text = report_md(timed([1.0]), record(status="crashed", reason=reason, **TENSORFLOW))
    found = table_cells(section(text, "Not ranked"))
    assert len(found) == 6
    assert found[-1] == " ".join(reason.split())


def test_no_text_from_outside_becomes_html_or_a_heading() -> None:
    machine = replace(run().machine, machine=HOSTILE, cpu=HOSTILE, os=HOSTILE)
    crashed = record(status="crashed", reason=HOSTILE, processor=HOSTILE, dataset=HOSTILE)
    text = report_md(crashed, timed([1.0], versions={"numpy": HOSTILE}), machine=machine)
    html = MarkdownIt("commonmark").enable("table").render(text)
    assert "<script>" not in html
    sweep = [timed([1.0], dataset=HOSTILE, batch_size=size) for size in range(1, 7)]
    assert "<script>" not in MarkdownIt("commonmark").render(report_md(*sweep))
    assert "<h1>heading</h1>" not in html
    assert html.count("<h1>") == 1


def test_a_command_that_would_end_its_block_stays_in_it() -> None:
    command = "resnet-bench run --impl 'a\n```\n<script>alert(1)</script>\n````\n# heading'"
    html = MarkdownIt("commonmark").render(report_md(timed([1.0]), command=command))
    assert "<script>" not in html
    assert html.count("<h1>") == 1


SHOWN = " ".join(HOSTILE.split())
ALIVE = re.compile(r"<script>alert|<img|href=.http://x|<h1>heading")


def hostile() -> Report:
    """A report with hostile text wherever a run, a record or a user's file has text."""
    where: dict[str, Any] = {"machine": HOSTILE, "processor": HOSTILE, "dataset": HOSTILE}
    where |= {"implementation": f"{HOSTILE}.py", "weights": HOSTILE}
    known = {"versions": {HOSTILE: HOSTILE}, "certificate_float64": HOSTILE}
    rows: list[Record] = [
        timed([1.0], settings={HOSTILE: "a", "other\n| x |": HOSTILE}, **where, **known),
        timed([2.0], settings={HOSTILE: "b"}, mode=HOSTILE, **where),
        record(status="crashed", reason=HOSTILE, **where | JAX),
        timed([1.0], settings={HOSTILE: "c"}, **where | {"machine": f"far {HOSTILE}"}),
    ]
    facts = replace(run().machine, machine=HOSTILE, cpu=HOSTILE, os=HOSTILE)
    peak = {"gflop_per_s": 200.0, "library": HOSTILE, "copy_gb_per_s": 20.0}
    runs = [run(machine=facts, command=HOSTILE, peaks={"cpu": {"all/fp32": peak}})]
    return replace(report(*rows, runs=runs), baseline=HOSTILE, remarks=[HOSTILE])


def test_no_name_of_a_setting_breaks_the_table_that_it_heads() -> None:
    text = section(markdown.render(hostile()), "Effective settings")
    assert SHOWN in table_cells(text, "th")
    assert "other | x |" in table_cells(text, "th")
    for contest in text.split("\n### ")[1:]:
        rows = [line for line in contest.splitlines() if line.startswith("|")]
        widths = {len(re.findall(r"(?<!\\)\|", row)) for row in rows}
        assert len(widths) <= 1


def test_no_table_is_broken_by_its_header_or_its_body() -> None:
    text = table([HOSTILE, "|"], [["|", HOSTILE]])
    assert table_cells(text, "th") == [SHOWN, "|"]
    assert table_cells(text) == ["|", SHOWN]


ACTING = "\x1b]0;owned\x07\x9b2J\u202e\r"
EVERYTHING = f"={HOSTILE} {ACTING}"


def everywhere(value: Any, kind: type[Any]) -> tuple[Any, int]:
    """A value of `kind` with hostile text wherever its type takes text, and in how many places."""
    document, count = plain(value), 0
    for path in list(places(document)):
        changed = copy.deepcopy(document)
        *above, last = path
        holder = changed
        for key in above:
            holder = holder[key]
        if isinstance(holder[last], str) or holder[last] is None:
            holder[last] = EVERYTHING
            with suppress(ValueError):
                convert(changed, kind)
                document, count = changed, count + 1
    return convert(document, kind), count


def hostile_everywhere() -> Report:
    """A report with hostile text in every field of a record and of a run that holds text."""
    known = {"versions": {EVERYTHING: ""}, "settings": {EVERYTHING: "", "jit": ""}}
    rows = []
    for number, status in enumerate(get_args(Status)):
        first = timed([1.0, 1.0], status=status, replicate=number, cohort=str(number), **known)
        row, count = everywhere(first, Record)
        assert count > 20
        rows += [row, timed([2.0], replicate=number, cohort=row.cohort, **JAX)]
    peak = {"gflop_per_s": 200.0, "library": "", "copy_gb_per_s": 20.0}
    floor = {"value": 0.01, "contender": "", "contest": "", "log_ratios": [0.1]}
    machine = plain(run().machine) | {"gpus": [{"name": "", "memory_gib": 1.0}]}
    described, count = everywhere(
        run(
            machine=machine,
            noise_floor={EVERYTHING: floor, "cpu": floor},
            peaks={EVERYTHING: {EVERYTHING: peak}, "cpu": {"all/fp32": peak}},
            left_out=[{"what": "", "reason": ""}],
        ),
        Run,
    )
    assert count >= 12
    return Report(rows, [described], baseline=EVERYTHING, remarks=[EVERYTHING])


def test_no_field_of_a_record_or_a_run_acts_in_any_format() -> None:
    found = hostile_everywhere()
    text = markdown.render(found)
    rendered = [as_html(text), report_page(found), as_html(index_md(found)), index_page(found)]
    for page in rendered:
        assert not ALIVE.search(page), ALIVE.search(page)
    assert as_html(text).count("<h1>") == 1
    for row in csv.reader(io.StringIO("".join(tables.results(found)) + tables.summary(found))):
        assert not [cell for cell in row if cell.startswith("=")]
    console = Terminal(width=60, file=io.StringIO(), markup=False)
    console.print(*terminal.tables(found))
    for contest in found.contests:
        console.print(standing.table(contest), standing.order(contest))
    assert isinstance(console.file, io.StringIO)
    for shown in (text, index_md(found), console.file.getvalue()):
        assert "owned" in shown
        assert not set(shown) & set("\x1b\x07\x9b\u202e\r")


def report_page(report: Report) -> str:
    return html.render(html.page_of(report), bundle="")


def index_md(report: Report) -> str:
    return index.markdown([index.Entry(PurePosixPath(HOSTILE), report, ["report.md"])])


def index_page(report: Report) -> str:
    return index.page([index.Entry(PurePosixPath(HOSTILE), report, ["report.md"])])


def as_html(text: str) -> str:
    return str(MarkdownIt("commonmark").enable("table").render(text))


@pytest.mark.parametrize(
    "render",
    [
        lambda report: as_html(markdown.render(report)),
        lambda report: as_html(index_md(report)),
        report_page,
        index_page,
    ],
    ids=["report.md", "index.md", "report.html", "index.html"],
)
def test_hostile_text_does_nothing_in_any_page(render: Callable[[Report], str]) -> None:
    page = render(hostile())
    assert not ALIVE.search(page), ALIVE.search(page)
    assert "alert(1)" in page


def test_hostile_text_is_a_value_in_csv_and_words_on_a_terminal() -> None:
    (row, *_) = csv.DictReader(io.StringIO("".join(tables.results(hostile()))))
    text = HOSTILE.replace("\r\n", "\n")
    assert row["machine"] == text
    assert json.loads(row["settings"])[HOSTILE] == "a"
    (row, *_) = csv.DictReader(io.StringIO(tables.summary(hostile())))
    assert row["machine"] == text
    console = Console(width=2000, file=io.StringIO(), markup=True)
    console.print(*terminal.tables(hostile()))
    assert isinstance(console.file, io.StringIO)
    assert "[link](http://x.example)" in console.file.getvalue()


@pytest.mark.parametrize("name", ["a]", "[a", "a](http://x.example)", "a\\", "a|b", "`a", HOSTILE])
def test_a_link_is_called_what_it_is_called(name: str) -> None:
    tokens = MarkdownIt("commonmark").parseInline(link(name, "run/report.md"))
    parts = tokens[0].children or []
    assert [part.type for part in parts if part.type != "text"] == ["link_open", "link_close"]
    assert parts[0].attrs["href"] == "run/report.md"
    assert "".join(part.content for part in parts) == " ".join(name.split())
