"""The form of each kind of plot, as Vega-Lite; the data comes by name, so one form serves all."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cells import installed
from bench.files import CACHE, keep

if TYPE_CHECKING:  # slow to import, so only the process that renders does
    import altair

WIDTH = 640  # pixels of a plot in a file; on the page it is as wide as its place
MOST_PICTURED = 6  # contests in `ranking.svg`


@cache
def forms() -> dict[str, dict[str, Any]]:
    """Kind of plot -> its specification, whose data is called `rows`.

    Remembered in a file, since Altair takes a second to import.
    """
    source = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    file = CACHE / f"plots-{installed('altair')}-{source}.json"
    if not file.exists():
        keep(file, json.dumps(_forms()))
    return dict(json.loads(file.read_text(encoding="utf-8")))


def version() -> str:
    """Of Vega-Lite that the specifications are written for: `6.1`."""
    schema = forms()["throughput"]["$schema"]
    return ".".join(schema.rpartition("/v")[2].split(".")[:2])


def _forms() -> dict[str, dict[str, Any]]:
    import altair as alt

    data = alt.NamedData("rows")
    label = alt.Y("label:N", sort=None, title=None, axis=alt.Axis(labelLimit=300, grid=False))
    color = alt.Color("label:N", sort=None, title=None, scale=alt.Scale(scheme="tableau20"))
    pick = alt.selection_point(fields=["label"], bind="legend")
    faded = alt.when(pick).then(alt.value(0.9)).otherwise(alt.value(0.08))
    speed = "images per second"

    bars = alt.Chart(data, height=alt.Step(26)).encode(y=label)
    told = alt.Color(
        "verdict:N",
        title="against the fastest",
        scale=alt.Scale(
            domain=["fastest", "tie", "slower", "not told"],
            range=["#0f8a5f", "#4aa3df", "#e07b39", "#8a8f98"],
        ),
    )
    tips = _tips(["label:N", "verdict:N", "against:N"], ["value", "low", "high"], ",.4r")
    few = alt.Axis(tickCount=8, labelSeparation=6)  # thousands would run into each other
    throughput = bars.mark_rule(strokeWidth=3, opacity=0.55).encode(
        x=alt.X("low:Q", title=speed, scale=alt.Scale(zero=True), axis=few),
        x2="high:Q",
        color=told,
    ) + bars.mark_point(filled=True, size=90, opacity=1).encode(
        x=alt.X("value:Q", title=speed, axis=few), color=told, tooltip=tips
    )

    lines = alt.Chart(data, height=300).encode(color=color, opacity=faded)
    whole = alt.Axis(tickMinStep=1, labelSeparation=6)  # there is no step 1.5
    losses = (
        lines.mark_line(strokeWidth=1.8)
        .encode(
            x=alt.X("step:Q", title="optimizer step", axis=whole),
            y=alt.Y("loss:Q", title="training loss"),
            tooltip=_tips(["label:N", "step:Q"], ["loss"], ".4f"),
        )
        .add_params(pick)
    )
    blocks = (
        lines.mark_line(strokeWidth=1.2, point=alt.OverlayMarkDef(size=14))
        .encode(
            x=alt.X("round:Q", title="round of the run", axis=whole),
            y=alt.Y("ms:Q", title="ms per step", scale=alt.Scale(type="log", nice=False)),
            detail="process:N",
            tooltip=_tips(["label:N", "process:N", "round:Q"], ["ms"], ",.2f"),
        )
        .add_params(pick)
    )

    time = "milliseconds per step"
    tips = _tips(["label:N", "steps:Q"], ["p5", "p25", "median", "p75", "p95", "p99"], ",.2f")
    scale = alt.Scale(type="log", nice=False, padding=12)
    ink = alt.value("#2f7fc1")
    known = "isValid(datum.{0}) ? datum.{0} : datum.{1}"  # a whisker of nothing has no length
    whiskers = bars.transform_calculate(
        low=known.format("p5", "p25"), high=known.format("p95", "p75")
    )
    dot = bars.transform_calculate(far=known.format("p99", "median"))
    shown = alt.when("isValid(datum.p99)").then(alt.value(1)).otherwise(alt.value(0))
    latency = (
        whiskers.mark_rule().encode(
            x=alt.X("low:Q", title=time, scale=scale, axis=few),
            x2="high:Q",
            color=ink,
            tooltip=tips,
        )
        + bars.mark_bar(size=12).encode(x=alt.X("p25:Q"), x2="p75:Q", color=ink, tooltip=tips)
        + bars.mark_tick(color="white", thickness=2, size=12).encode(x="median:Q", tooltip=tips)
        + dot.mark_point(filled=True, size=28).encode(
            x="far:Q", color=ink, opacity=shown, tooltip=tips
        )
    )
    memory = bars.mark_bar(size=14).encode(
        x=alt.X("mib:Q", title="MiB", axis=few),
        color=alt.Color(
            "part:N",
            title=None,
            sort=["host, set-up", "host, steps", "device, peak"],  # the last on GPUs alone
            scale=alt.Scale(range=["#9ab4cc", "#2f7fc1", "#8a5fb5"]),
        ),
        order="order:Q",
        tooltip=_tips(["label:N", "part:N"], ["mib"], ",.0f"),
    )

    batch = alt.X("batch:Q", title="batch size", scale=alt.Scale(type="log", base=2))
    tips = _tips(["label:N", "batch:Q"], ["value", "low", "high"], ",.0f")
    high = alt.Y("value:Q", title=speed)
    scaling = lines.mark_line(point=True, strokeWidth=1.8).encode(
        x=batch, y=high, tooltip=tips
    ).add_params(pick) + lines.mark_rule(strokeWidth=1.5).encode(
        x=batch, y=alt.Y("low:Q", title=speed), y2="high"
    )

    log = alt.Scale(type="log", nice=False)
    rate = alt.Y("gflops:Q", title="GFLOP/s", scale=log)
    per_byte = "FLOP per byte"
    tips = _tips(["label:N", "contest:N"], ["gflops", "flop_per_byte"], ",.1f")
    tips.append(alt.Tooltip("of_roof:Q", format=".0%"))
    chart = alt.Chart(data, height=300)
    roof = chart.transform_filter("isValid(datum.roof)").mark_line(color="#8a8f98", strokeWidth=2)
    cells = chart.transform_filter("isValid(datum.flop_per_byte)").mark_point(filled=True, size=70)
    roofline = roof.encode(x=alt.X("roof:Q", title=per_byte, scale=log), y=rate) + cells.encode(
        x=alt.X("flop_per_byte:Q", title=per_byte), y=rate, color=color, opacity=faded,
        shape=alt.Shape("workload:N", title=None), tooltip=tips,
    ).add_params(pick)  # fmt: skip

    kinds = {
        "throughput": throughput, "losses": losses, "latency": latency, "memory": memory,
        "blocks": blocks, "scaling": scaling, "roofline": roofline,
    }  # fmt: skip
    return {kind: _plain(chart) for kind, chart in kinds.items()}


def drawn(figure: Mapping[str, Any], title: str | None = None) -> dict[str, Any]:
    """The specification of a figure that stands alone, its data and its title in it.

    `figure`: a Figure and its heading, as `html.content` gives them.
    """
    if title is None:
        title, heading = figure["title"], figure["heading"]
        title = title if ": " in title else f"{title}: {heading}"
    return {
        **forms()[figure["kind"]],
        "width": WIDTH,
        "title": {"text": _line(title), "anchor": "start"},
        "data": {"values": list(figure["rows"])},
    }


def ranking(figures: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Throughput of the first contests, one below the other, each under its heading."""
    parts = [drawn(figure, figure["heading"]) for figure in figures[:MOST_PICTURED]]
    left = len(figures) - len(parts)
    schema = parts[0]["$schema"]
    rest = f"The first {len(parts)} of {len(figures)} contests; all are in report.html"
    return {
        "$schema": schema,
        **({"title": {"text": rest, "anchor": "start"}} if left else {}),
        "vconcat": parts,
        # where a picture is shown, letters may be wider than where it was drawn
        "padding": {"left": 40, "top": 5, "right": 50, "bottom": 5},
        "resolve": {"scale": {"color": "shared"}},
        "config": {"background": "white", "font": "Helvetica, Arial, sans-serif"},
    }


def _tips(exact: Sequence[str], measured: Sequence[str], form: str) -> "list[altair.Tooltip]":
    import altair as alt

    return [
        *(alt.Tooltip(field) for field in exact),
        *(alt.Tooltip(f"{field}:Q", format=form) for field in measured),
    ]


def _plain(chart: Any) -> dict[str, Any]:
    """Without Altair's own theme and the data that is only a name."""
    form = json.loads(json.dumps(chart.to_dict()))
    form.pop("config", None)
    return dict(form)


def _line(text: str) -> str:
    return " ".join(text.split())
