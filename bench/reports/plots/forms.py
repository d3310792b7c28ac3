"""The form of each kind of plot, as Vega-Lite; the data comes by name, so one form serves all."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import cache as entries
from bench.errors import UsageError
from bench.obstacles import installed
from bench.reports.plots import charts, encodings
from bench.reports.plots.series import Figure

if TYPE_CHECKING:  # slow to import, so only the process that renders does
    import altair as alt

Specification = dict[str, Any]  # of Vega-Lite, as JSON

WIDTH = 640  # pixels of a plot in a file; on the page it is as wide as its place
MOST_PICTURED = 6  # contests in `ranking.svg`


@cache
def forms() -> dict[str, Specification]:
    """Kind of plot -> its specification, whose data is called `rows`.

    Remembered in a file, since Altair takes a second to import.
    """
    sources = (Path(file).read_bytes() for file in (charts.__file__, encodings.__file__))
    source = hashlib.sha256(b"".join(sources)).hexdigest()[:16]
    name = f"plots-{installed('altair')}-{source}.json"
    if known := entries.read_as(name, dict[str, Specification]):
        return known
    drawn = {kind: _plain(draw()) for kind, draw in charts.KINDS.items()}
    with suppress(UsageError):  # it takes a second longer the next time
        entries.keep(name, json.dumps(drawn))
    return drawn


def version() -> str:
    """Of Vega-Lite that the specifications are written for: `6.1`."""
    schema = forms()["throughput"]["$schema"]
    return ".".join(schema.rpartition("/v")[2].split(".")[:2])


def alone(figure: Figure, title: str | None = None) -> Specification:
    """The specification of a figure that stands alone, its data and its title in it."""
    if title is None:
        title = figure.title if ": " in figure.title else f"{figure.title}: {figure.heading}"
    return {
        **forms()[figure.kind],
        "width": WIDTH,
        "title": {"text": " ".join(title.split()), "anchor": "start"},
        "data": {"values": list(figure.rows)},
    }


def ranking(figures: Sequence[Figure]) -> Specification:
    """Throughput of the first contests, one below the other, each under its heading."""
    parts = [alone(figure, figure.heading) for figure in figures[:MOST_PICTURED]]
    left = len(figures) - len(parts)
    rest = f"The first {len(parts)} of {len(figures)} contests; all are in report.html"
    return {
        "$schema": parts[0]["$schema"],
        **({"title": {"text": rest, "anchor": "start"}} if left else {}),
        "vconcat": parts,
        # where a picture is shown, letters may be wider than where it was drawn
        "padding": {"left": 40, "top": 5, "right": 50, "bottom": 5},
        "resolve": {"scale": {"color": "shared"}},
        "config": {"background": "white", "font": "Helvetica, Arial, sans-serif"},
    }


def _plain(chart: "alt.Chart | alt.LayerChart") -> Specification:
    """Without Altair's own theme and the data that is only a name."""
    form = json.loads(json.dumps(chart.to_dict()))
    form.pop("config", None)
    return dict(form)
