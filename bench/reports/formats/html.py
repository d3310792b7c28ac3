"""`report.html`: the report as one page to explore, which needs nothing from any network."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

from bench.analysis.contests import Summary
from bench.analysis.statistics import Estimate
from bench.obstacles import installed
from bench.reports.answer import Answer, achieved, answers, topic
from bench.reports.plots import forms
from bench.reports.plots.across import of_all
from bench.reports.plots.series import Figure, Row, of_contest, points_per_curve
from bench.reports.report import Report
from bench.reports.sections import how_to_read, repeat
from bench.reports.text import interval, number

ASSETS = Path(__file__).parent / "page"
# All that the page and the plots need beyond what records do
PACKAGES = ("altair", "markdown-it-py", "vl-convert-python")


@dataclass(frozen=True)
class Column:
    """A column of the table of all cells."""

    title: str
    word: str  # whose definition says what it means
    figures: bool = False


COLUMNS = (
    Column("contest", "contest"),
    Column("images/s, or time to target", "images/s", figures=True),
    Column("against fastest", "against fastest", figures=True),
    Column("verdict", "verdict"),
    Column("group", "group"),
    Column("latency ms", "latency ms", figures=True),
    Column("host peak MiB", "host peak MiB", figures=True),
    Column("test accuracy", "test accuracy", figures=True),
    Column("certificate", "certificate"),
    Column("status", "status"),
    Column("reason", "reason"),
)


@dataclass(frozen=True)
class TableRow:
    """A cell in the table of all cells: for each column its text, and the value to sort by."""

    name: str  # of the contender, as people know it
    label: str  # in the catalogue
    columns: Sequence[tuple[str, float | None]]


@dataclass(frozen=True)
class Page:
    """All that the page shows of one run, or of several merged.

    Raw lists of records are thinned already, so that it is small however many records there are.
    """

    title: str
    answers: Sequence[Answer]
    figures: Sequence[Figure]
    columns: Sequence[Column]
    cells: Sequence[TableRow]
    words: Mapping[str, str]  # HTML by what it defines
    machines: Sequence[str]
    commands: Sequence[str]


def missing() -> str | None:
    """What to install before the page can be made; None where all is there."""
    absent = [package for package in PACKAGES if installed(package) is None]
    return " ".join(absent) or None


def page_of(report: Report) -> Page:
    """What the page shows of a report."""
    most = points_per_curve(report.contests)
    lettered = any(contest.letters_needed for contest in report.contests)
    columns = [column for column in COLUMNS if column.title != "group" or lettered]
    words = how_to_read.definitions(report) | how_to_read.OF_CELLS
    return Page(
        title=", ".join(run.run_id for run in report.runs),
        answers=answers(report),
        figures=[
            *(figure for contest in report.contests for figure in of_contest(contest, most)),
            *of_all(report),
        ],
        columns=columns,
        cells=[
            _cell(s, topic(contest, report), contest.letters_needed, columns)
            for contest in report.contests
            for s in contest.summaries
        ],
        words={word: _prose(meaning) for word, meaning in words.items()},
        machines=[run.machine.description for run in report.runs],
        commands=["\n".join(repeat.commands(report))],
    )


class Plotted(Protocol):
    """A page of plots and more."""

    @property
    def figures(self) -> Sequence[Figure]: ...


def render(page: Plotted, bundle: str, template: str = "page.html") -> str:
    """A page as HTML, by its template; `bundle`: the scripts of Vega, as text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    used = {figure.kind for figure in page.figures}
    data = {
        "forms": {kind: form for kind, form in forms.forms().items() if kind in used},
        "figures": [{"kind": figure.kind, **_columns(figure.rows)} for figure in page.figures],
    }
    scripts = [
        bundle.replace("</script", "<\\/script"),
        (ASSETS / "page.js").read_text(encoding="utf-8"),
    ]
    environment = Environment(
        loader=FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"anchor": _anchor, "furthest": _furthest, "part": _part}
    return environment.get_template(template).render(
        page=page,
        sections=_sections(page.figures),
        scripts=[Markup(script) for script in scripts],
        hashes=" ".join(f"'{_hash(script)}'" for script in scripts),
        style=Markup((ASSETS / "page.css").read_text(encoding="utf-8")),
        data=Markup(_json(data)),
    )


def _anchor(word: str) -> str:
    """A word as part of an address within the page: `images-s`."""
    return re.sub("[^a-z0-9]+", "-", word.lower())


def _furthest(share: Estimate) -> float:
    """The right end of a bar, its interval included."""
    return max(share.value, share.high or 0.0)


def _part(value: float, widest: float) -> str:
    """Percent of the width of all bars that a value takes."""
    return f"{100 * min(1.0, value / widest):.1f}"


def _sections(figures: Sequence[Figure]) -> list[tuple[str, list[tuple[int, Figure]]]]:
    """Headings with their figures, numbered as they lie in the data of the page."""
    return [
        (heading, list(of))
        for heading, of in groupby(enumerate(figures), key=lambda numbered: numbered[1].heading)
    ]


def _cell(s: Summary, contest: str, letters: bool, columns: Sequence[Column]) -> TableRow:
    by = s.seconds_to_target if s.to_target else s.throughput_images_per_s
    against = s.speed_against_fastest
    accuracy, peak = s.test_accuracy, s.median("host_peak_mib")
    step = s.median("step_ms_median")
    statuses = dict.fromkeys(r.status for r in (*s.records, *s.failures))
    reasons = dict.fromkeys(r.reason for r in s.failures if r.reason)
    speed = (achieved(s) or "–") if s.to_target else interval(by)
    shown: dict[str, tuple[str, float | None]] = {
        "contest": (contest, None),
        "images/s, or time to target": (speed, by.value if by else None),
        "against fastest": (interval(against, 2), against.value if against else None),
        "verdict": (s.verdict or "–", None),
        "group": ((s.group if letters else None) or "–", None),
        "latency ms": (number(step, 1), step),
        "host peak MiB": (number(peak, 0), peak),
        "test accuracy": ("–" if accuracy is None else f"{accuracy:.1%}", accuracy),
        "certificate": (_certificate(s), None),
        "status": (", ".join(statuses), None),
        "reason": ("; ".join(reasons) or "–", None),
    }
    return TableRow(s.cell.known_as, s.cell.label, [shown[column.title] for column in columns])


def _certificate(s: Summary) -> str:
    """`passed`, or all else that is said of the halves of its certificates."""
    halves = [(r.certificate_float64, r.certificate_timed) for r in (*s.records, *s.failures)]
    verdicts = {verdict for half in halves for verdict in half if verdict}
    if not verdicts:
        return "not certified"
    others = sorted(verdicts - {"passed"})
    if any(None in (r.certificate_float64, r.certificate_timed) for r in s.records):
        others.append("in part")
    return "; ".join(others) or "passed"


def _columns(rows: Sequence[Row]) -> dict[str, Any]:
    """Names once and then values: rows of names and values would be three times as long."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {"names": names, "rows": [[_short(row.get(name)) for name in names] for row in rows]}


def _short(value: str | int | float | None) -> str | int | float | None:
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _json(data: Any) -> str:
    """JSON that can stand in a page: no `<` of it can end its element or begin another."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _prose(text: str) -> str:
    from markdown_it import MarkdownIt

    return str(MarkdownIt("commonmark", {"html": False}).renderInline(text))
