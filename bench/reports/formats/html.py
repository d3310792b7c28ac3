"""`report.html`: the report as one page to explore, which needs nothing from any network."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from bench.analysis.contests import Summary
from bench.cells import installed
from bench.reports.answer import achieved, opening, place
from bench.reports.formats import markdown
from bench.reports.plots import charts
from bench.reports.plots.across import of_all
from bench.reports.plots.series import Figure, of_contest, points_per_curve
from bench.reports.sections import time_to
from bench.reports.text import interval, number

ASSETS = Path(__file__).parent / "page"
# All that the page and the plots need beyond what records do
PACKAGES = ("altair", "markdown-it-py", "vl-convert-python")


def missing() -> str | None:
    """What to install before the page can be made; None where all is there."""
    absent = [package for package in PACKAGES if installed(package) is None]
    return " ".join(absent) or None


def content(
    contests: Sequence[Sequence[Summary]], runs: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """All that the page shows of one run, or of several merged, as JSON-ready values.

    Raw lists of records are thinned already, so that it is small however many records there are.
    """
    return {
        "title": ", ".join(run["run_id"] for run in runs),
        "answers": [_inline(line.removeprefix("- ")) for line in opening(contests).splitlines()],
        "figures": [
            {"heading": heading, **vars(figure)} for heading, figure in _titled(contests, runs)
        ],
        "cells": [_cell(s) for contest in contests for s in contest],
        "reading": _prose().render("\n\n".join(_reading(contests))),
        "machines": [_machine(run) for run in runs],
        "commands": [run["command"] for run in runs],
    }


def page(shown: Mapping[str, Any], bundle: str) -> str:
    """The page of what `content` gave; `bundle`: the scripts of Vega, as text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    figures = shown["figures"]
    used = {figure["kind"] for figure in figures}
    data = {
        "forms": {kind: form for kind, form in charts.forms().items() if kind in used},
        "figures": [{"kind": f["kind"], **_columns(f["rows"])} for f in figures],
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
    return environment.get_template("page.html").render(
        **shown,
        sections=_sections(figures),
        scripts=[Markup(script) for script in scripts],
        hashes=" ".join(f"'{_hash(script)}'" for script in scripts),
        style=Markup((ASSETS / "page.css").read_text(encoding="utf-8")),
        data=Markup(_json(data)),
    )


def _reading(contests: Sequence[Sequence[Summary]]) -> list[str]:
    """How to read the page, as Markdown."""
    return [markdown.READING, *[time_to.READING] * any(map(time_to.is_one, contests))]


def _sections(figures: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Headings with their figures, numbered as they lie in the data of the page."""
    sections: list[dict[str, Any]] = []
    for index, figure in enumerate(figures):
        if not sections or sections[-1]["heading"] != figure["heading"]:
            sections.append({"heading": figure["heading"], "figures": []})
        sections[-1]["figures"].append((index, figure))
    return sections


def _titled(
    contests: Sequence[Sequence[Summary]], runs: Sequence[Mapping[str, Any]]
) -> list[tuple[str, Figure]]:
    """All figures in their order, each with the heading that it stands under."""
    most = points_per_curve(contests)
    figures = [
        (f"{contest[0].cell.contest_label} on {place(contest[0])}", figure)
        for contest in contests
        for figure in of_contest(contest, most)
    ]
    return figures + [("Across contests", figure) for figure in of_all(contests, runs)]


def _cell(s: Summary) -> dict[str, Any]:
    """A row of the table: for each column what is shown, and what it is sorted by."""
    to_target = time_to.is_one([s])
    by = s.seconds_to_target if to_target else s.throughput_images_per_s
    against = s.speed_against_fastest
    accuracy, peak = s.test_accuracy, s.median("host_peak_mib")
    step = s.median("step_ms_median")
    every = (*s.records, *s.failures)
    halves = [(r.certificate_float64, r.certificate_timed) for r in every]
    verdicts = {verdict for half in halves for verdict in half if verdict}
    failed = sorted(verdicts - {"passed"})
    known = {verdict for r in s.records for verdict in (r.certificate_float64, r.certificate_timed)}
    if verdicts and None in known:
        failed.append("in part")
    certificate = "; ".join(failed) or ("passed" if verdicts else "not certified")
    statuses = dict.fromkeys(r.status for r in every)
    reasons = dict.fromkeys(r.reason for r in s.failures if r.reason)
    return {
        "label": s.cell.label,
        "columns": [
            (f"{s.cell.contest_label} on {place(s)}", None),
            ((achieved(s) or "–") if to_target else interval(by), by and by.value),
            (interval(against, 2), against and against.value),
            (s.verdict or "–", None),
            (s.group or "–", None),
            (number(step, 1), step),
            (number(peak, 0), peak),
            ("–" if accuracy is None else f"{accuracy:.1%}", accuracy),
            (certificate, None),
            (", ".join(statuses), None),
            ("; ".join(reasons) or "–", None),
        ],
    }


def _machine(run: Mapping[str, Any]) -> str:
    facts = run["machine"]
    gpus = ", ".join(str(gpu["name"]) for gpu in facts["gpus"]) or "none"
    return (
        f"{facts['machine']}: {facts['cpu']}, {facts['physical_cores']} cores "
        f"({facts['logical_cores']} logical), {facts['memory_gib']} GiB, GPU {gpus}; {facts['os']}"
    )


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Names once and then values: rows of names and values would be three times as long."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {"names": names, "rows": [[_short(row.get(name)) for name in names] for row in rows]}


def _short(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _json(data: Any) -> str:
    """JSON that can stand in a page: no `<` of it can end its element or begin another."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


@cache
def _prose() -> Any:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False})


def _inline(text: str) -> str:
    """Emphasis and escapes of Markdown, and nothing else: no link, no HTML."""
    from markdown_it import MarkdownIt

    return str(MarkdownIt("zero").enable(["emphasis", "escape"]).renderInline(text))
