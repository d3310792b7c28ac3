"""`python -m bench.reports.render FOLDER plots|page`: the process that draws.

Altair and Vega take 200 MiB and a JavaScript engine, which the process that measures must not hold.
What is drawn comes as JSON lines on stdin: the runs, then one record a line.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.cache import CACHE, keep, replace_file
from bench.cells import installed
from bench.records import Record, from_json
from bench.reports import charts, html
from bench.summary import summarise

DRAWN = ("report.html", "ranking.svg")


def write(
    folder: Path, records: Sequence[Record], runs: Sequence[Mapping[str, Any]], plots: bool = False
) -> str | None:
    """Write `report.html` and `ranking.svg` into `folder`, with `plots` all plots as files too.

    Returns None, or in one line why there are none and what to do.
    """
    if absent := html.missing():
        return f"report.html and plots are not written: not installed: {absent} (pip install them)"
    command = [sys.executable, "-m", __spec__.name, str(folder), "plots" if plots else "page"]
    given = "\n".join([json.dumps(runs), *(record.to_json() for record in records)])
    done = subprocess.run(command, input=given.encode(), stderr=subprocess.PIPE, process_group=0)
    if done.returncode == 0:
        return None
    last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
    return f"report.html and plots are not written: {last[0]} (exit code {done.returncode})"


def draw(
    folder: Path, records: Sequence[Record], runs: Sequence[Mapping[str, Any]], plots: bool
) -> None:
    """What `write` does, in this process."""
    import vl_convert

    contests = summarise(records, runs)
    version = charts.version()
    page = html.render(contests, runs, _bundle(version))
    replace_file(folder / "report.html", page.encode())
    figures = html.titled(contests, runs)
    pictures = {}
    rankings = [(title, figure) for title, figure in figures if figure.kind == "throughput"]
    if rankings:
        pictures["ranking"] = charts.ranking(rankings)
    if plots:
        (folder / "plots").mkdir(exist_ok=True)
        numbers: dict[str, int] = {}
        for heading, figure in figures:
            number = numbers[figure.kind] = numbers.get(figure.kind, 0) + 1
            title = figure.title if ": " in figure.title else f"{figure.title}: {heading}"
            pictures[f"plots/{figure.kind}-{number}"] = charts.drawn(figure, title)
    for name, picture in pictures.items():
        svg = vl_convert.vegalite_to_svg(picture, vl_version=version)
        replace_file(folder / f"{name}.svg", svg.encode())
        if plots and name != "ranking":
            png = vl_convert.vegalite_to_png(picture, vl_version=version, scale=2)
            replace_file(folder / f"{name}.png", png)


def _bundle(version: str) -> str:
    """The scripts of Vega, remembered, as it takes two seconds to put them together."""
    import vl_convert

    file = CACHE / f"vega-lite-{version}-{installed('vl-convert-python')}.js"
    if not file.exists():
        bundle = vl_convert.javascript_bundle(vl_version=version)  # type: ignore[call-arg]
        keep(file, bundle)
    return file.read_text(encoding="utf-8")


if __name__ == "__main__":
    first, *lines = sys.stdin.buffer.read().decode().splitlines()
    drawn = [from_json(line) for line in lines]
    draw(Path(sys.argv[1]), drawn, json.loads(first), plots=sys.argv[2] == "plots")
