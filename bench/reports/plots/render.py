"""The process that draws: `render.py FOLDER plots|page|history`, its page as JSON on stdin.

Altair and Vega take 200 MiB and a JavaScript engine, which the process that measures must not hold.
"""

import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from bench import cache
from bench.errors import UsageError
from bench.files import write
from bench.obstacles import installed
from bench.processes import command, environment
from bench.reports.formats import html
from bench.reports.history.page import HistoryPage
from bench.reports.plots import forms
from bench.reports.report import Report
from bench.validation import parse

MODULE = "bench.reports.plots.render"


def begin(folder: Path, report: Report, plots: bool = False) -> Callable[[], str | None]:
    """Begin to write `report.html` and `ranking.svg` into `folder`, with `plots` all plots too.

    Returns what waits for their end, and then says in one line why there are none and what to do;
    or None.
    """
    what = "report.html and plots are not written"
    return _started(folder, "plots" if plots else "page", html.page_of(report), what)


def _started(
    folder: Path, kind: str, shown: html.Page | HistoryPage, what: str
) -> Callable[[], str | None]:
    if absent := html.missing():
        reason = f"not installed: {absent} (pip install them)"
        return lambda: f"{what}: {reason}"
    words = command(MODULE, str(folder), kind)
    with tempfile.TemporaryFile() as page:
        page.write(msgspec.json.encode(shown))
        page.seek(0)
        drawing = subprocess.Popen(
            words, env=environment(), stdin=page, stderr=subprocess.PIPE, process_group=0
        )

    def finish() -> str | None:
        _, said = drawing.communicate()
        if drawing.returncode == 0:
            return None
        last = said.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        return f"{what}: {last[0]} (exit code {drawing.returncode})"

    return finish


def begin_history(folder: Path, page: HistoryPage) -> Callable[[], str | None]:
    """Begin to write `history.html` into `folder`; returns what `begin` returns."""
    return _started(folder, "history", page, "history.html is not written")


def draw_history(folder: Path, page: HistoryPage) -> None:
    """What `begin_history` has another process do."""
    text = html.render(page, _bundle(forms.version()), "history.html")
    write(folder / "history.html", text)


def draw(folder: Path, page: html.Page, plots: bool) -> None:
    """What `begin` has another process do."""
    import vl_convert

    version = forms.version()
    write(folder / "report.html", html.render(page, _bundle(version)))
    pictures = {}
    if rankings := [figure for figure in page.figures if figure.kind == "throughput"]:
        pictures["ranking"] = forms.ranking(rankings)
    if plots:
        if (folder / "plots").is_symlink():
            raise NotADirectoryError(f"{folder / 'plots'} is a link, and would be written to")
        (folder / "plots").mkdir(exist_ok=True)
        numbers: Counter[str] = Counter()
        for figure in page.figures:
            numbers[figure.kind] += 1
            pictures[f"plots/{figure.kind}-{numbers[figure.kind]}"] = forms.alone(figure)
    for name, picture in pictures.items():
        svg = vl_convert.vegalite_to_svg(picture, vl_version=version)
        write(folder / f"{name}.svg", svg)
        if plots and name != "ranking":
            png = vl_convert.vegalite_to_png(picture, vl_version=version, scale=2)
            write(folder / f"{name}.png", png)


def _bundle(version: str) -> str:
    """The scripts of Vega, remembered, as it takes two seconds to put them together."""
    import vl_convert

    name = f"vega-lite-{version}-{installed('vl-convert-python')}.js"
    if known := cache.read(name):
        return known.decode()
    bundle: str = vl_convert.javascript_bundle(vl_version=version)  # type: ignore[call-arg]
    with suppress(UsageError):  # the page is whole without
        cache.keep(name, bundle)
    return bundle


if __name__ == "__main__":
    folder, kind, content = Path(sys.argv[1]), sys.argv[2], sys.stdin.buffer.read()
    if kind == "history":
        draw_history(folder, parse(content, HistoryPage))
    else:
        draw(folder, parse(content, html.Page), plots=kind == "plots")
