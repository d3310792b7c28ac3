"""`python -m bench.reports.render FOLDER plots|page`: the process that draws.

Altair and Vega take 200 MiB and a JavaScript engine, which the process that measures must not hold.
What is drawn comes as JSON on stdin, as `html.content` gives it.
"""

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.analysis.contests import summarise
from bench.cells import installed
from bench.files import CACHE, keep
from bench.records import Record
from bench.reports.formats import html
from bench.reports.plots import charts


def begin(
    folder: Path, records: Sequence[Record], runs: Sequence[Mapping[str, Any]], plots: bool = False
) -> Callable[[], str | None]:
    """Begin to write `report.html` and `ranking.svg` into `folder`, with `plots` all plots too.

    Returns what waits for their end, and then says in one line why there are none and what to do;
    or None.
    """
    if absent := html.missing():
        reason = f"not installed: {absent} (pip install them)"
        return lambda: f"report.html and plots are not written: {reason}"
    command = [sys.executable, "-m", __spec__.name, str(folder), "plots" if plots else "page"]
    with tempfile.TemporaryFile() as shown:
        shown.write(json.dumps(html.content(summarise(records, runs), runs)).encode())
        shown.seek(0)
        drawing = subprocess.Popen(command, stdin=shown, stderr=subprocess.PIPE, process_group=0)

    def finish() -> str | None:
        _, said = drawing.communicate()
        if drawing.returncode == 0:
            return None
        last = said.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        return f"report.html and plots are not written: {last[0]} (exit code {drawing.returncode})"

    return finish


def draw(folder: Path, shown: Mapping[str, Any], plots: bool) -> None:
    """What `begin` has another process do."""
    import vl_convert

    version = charts.version()
    write(folder / "report.html", html.page(shown, _bundle(version)).encode())
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
        write(folder / f"{name}.svg", svg.encode())
        if plots and name != "ranking":
            png = vl_convert.vegalite_to_png(picture, vl_version=version, scale=2)
            write(folder / f"{name}.png", png)


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
