"""`python -m bench.reports.render FOLDER plots|page`: the process that draws.

Altair and Vega take 200 MiB and a JavaScript engine, which the process that measures must not hold.
What is drawn comes as JSON on stdin, as `html.content` gives it.
"""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.cache import CACHE, keep, replace_file
from bench.cells import installed
from bench.records import Record
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
    shown = json.dumps(html.content(summarise(records, runs), runs))
    done = subprocess.run(command, input=shown.encode(), stderr=subprocess.PIPE, process_group=0)
    if done.returncode == 0:
        return None
    last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
    return f"report.html and plots are not written: {last[0]} (exit code {done.returncode})"


def draw(folder: Path, shown: Mapping[str, Any], plots: bool) -> None:
    """What `write` does, in this process."""
    import vl_convert

    version = charts.version()
    replace_file(folder / "report.html", html.page(shown, _bundle(version)).encode())
    figures = shown["figures"]
    pictures = {}
    if rankings := [figure for figure in figures if figure["kind"] == "throughput"]:
        pictures["ranking"] = charts.ranking(rankings)
    if plots:
        (folder / "plots").mkdir(exist_ok=True)
        numbers: Counter[str] = Counter()
        for figure in figures:
            numbers[figure["kind"]] += 1
            name = f"plots/{figure['kind']}-{numbers[figure['kind']]}"
            pictures[name] = charts.drawn(figure)
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
    draw(Path(sys.argv[1]), json.load(sys.stdin.buffer), plots=sys.argv[2] == "plots")
