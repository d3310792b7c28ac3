"""The chart of each kind of plot, one function each, by Altair, which only these import.

To add a kind, write a function that returns its chart, and name it in `KINDS`. Its data is called
`rows`: the rows of a Figure.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from bench.reports.plots.encodings import (
    color,
    curves,
    data,
    faded,
    few,
    pick,
    rows,
    tooltips,
    whole,
)

if TYPE_CHECKING:  # slow to import, so only the process that renders does
    import altair as alt

SPEED = "images per second"


def throughput() -> "alt.LayerChart":
    """A point for each cell with its interval, coloured by its verdict."""
    import altair as alt

    verdict = alt.Color(
        "verdict:N",
        title="against the fastest",
        scale=alt.Scale(
            domain=["fastest", "tie", "slower", "no verdict"],
            range=["#0f8a5f", "#4aa3df", "#e07b39", "#8a8f98"],
        ),
    )
    tips = tooltips(["label:N", "verdict:N", "against:N"], ["value", "low", "high"], ",.4r")
    zero = alt.Scale(zero=True)
    intervals = rows().mark_rule(strokeWidth=3, opacity=0.55)
    points = rows().mark_point(filled=True, size=90, opacity=1)
    return intervals.encode(
        x=alt.X("low:Q", title=SPEED, scale=zero, axis=few()), x2="high:Q", color=verdict
    ) + points.encode(x=alt.X("value:Q", title=SPEED, axis=few()), color=verdict, tooltip=tips)


def losses() -> "alt.Chart":
    """A curve for each cell: training loss over optimizer steps."""
    import altair as alt

    return (
        curves()
        .mark_line(strokeWidth=1.8)
        .encode(
            x=alt.X("step:Q", title="optimizer step", axis=whole()),
            y=alt.Y("loss:Q", title="training loss"),
            tooltip=tooltips(["label:N", "step:Q"], ["loss"], ".4f"),
        )
        .add_params(pick())
    )


def blocks() -> "alt.Chart":
    """A curve for each process: ms per step over the rounds of the run."""
    import altair as alt

    return (
        curves()
        .mark_line(strokeWidth=1.2, point=alt.OverlayMarkDef(size=14))
        .encode(
            x=alt.X("round:Q", title="round of the run", axis=whole()),
            y=alt.Y("ms:Q", title="ms per step", scale=alt.Scale(type="log", nice=False)),
            detail="process:N",
            tooltip=tooltips(["label:N", "process:N", "round:Q"], ["ms"], ",.2f"),
        )
        .add_params(pick())
    )


def latency() -> "alt.LayerChart":
    """A box for each cell; where a percentile is unknown, its whisker has no length."""
    import altair as alt

    tips = tooltips(["label:N", "steps:Q"], ["p5", "p25", "median", "p75", "p95", "p99"], ",.2f")
    scale = alt.Scale(type="log", nice=False, padding=12)
    time = alt.X("low:Q", title="milliseconds per step", scale=scale, axis=few())
    ink = alt.value("#2f7fc1")
    known = "isValid(datum.{0}) ? datum.{0} : datum.{1}"
    whiskers = (
        rows()
        .transform_calculate(low=known.format("p5", "p25"), high=known.format("p95", "p75"))
        .mark_rule()
        .encode(x=time, x2="high:Q", color=ink, tooltip=tips)
    )
    boxes = rows().mark_bar(size=12).encode(x="p25:Q", x2="p75:Q", color=ink, tooltip=tips)
    medians = (
        rows().mark_tick(color="white", thickness=2, size=12).encode(x="median:Q", tooltip=tips)
    )
    shown = alt.when("isValid(datum.p99)").then(alt.value(1)).otherwise(alt.value(0))
    dots = (
        rows()
        .transform_calculate(far=known.format("p99", "median"))
        .mark_point(filled=True, size=28)
        .encode(x="far:Q", color=ink, opacity=shown, tooltip=tips)
    )
    return whiskers + boxes + medians + dots


def memory() -> "alt.Chart":
    """A bar for each cell, of its parts in MiB."""
    import altair as alt

    part = alt.Color(
        "part:N",
        title=None,
        sort=["host, set-up", "host, steps", "device, peak"],  # the last on GPUs alone
        scale=alt.Scale(range=["#9ab4cc", "#2f7fc1", "#8a5fb5"]),
    )
    return (
        rows()
        .mark_bar(size=14)
        .encode(
            x=alt.X("mib:Q", title="MiB", axis=few()),
            color=part,
            order="order:Q",
            tooltip=tooltips(["label:N", "part:N"], ["mib"], ",.0f"),
        )
    )


def scaling() -> "alt.LayerChart":
    """A curve for each contender: images per second over the batch size."""
    import altair as alt

    batch = alt.X("batch:Q", title="batch size", scale=alt.Scale(type="log", base=2))
    tips = tooltips(["label:N", "batch:Q"], ["value", "low", "high"], ",.0f")
    lines = (
        curves()
        .mark_line(point=True, strokeWidth=1.8)
        .encode(x=batch, y=alt.Y("value:Q", title=SPEED), tooltip=tips)
        .add_params(pick())
    )
    intervals = (
        curves()
        .mark_rule(strokeWidth=1.5)
        .encode(x=batch, y=alt.Y("low:Q", title=SPEED), y2="high")
    )
    return lines + intervals


def history() -> "alt.LayerChart":
    """A curve for each contender: its speed over the control's, run by run; changes are marked."""
    import altair as alt

    order = alt.EncodingSortField(field="place", op="min", order="ascending")
    run = alt.X("run:N", title="run", sort=order, axis=alt.Axis(labelAngle=-40, labelLimit=160))
    ratio = alt.Y("value:Q", title="speed over the control's", scale=alt.Scale(zero=False))
    tips = tooltips(["label:N", "shown:N", "run:N"], ["value", "low", "high"], ".3f")
    lines = (
        curves()
        .mark_line(strokeWidth=1.8, point=True)
        .encode(x=run, y=ratio, order="place:Q", tooltip=tips)
        .add_params(pick())
    )
    intervals = curves().mark_rule(strokeWidth=1.5).encode(x=run, y="low:Q", y2="high")
    changes = (
        curves()
        .transform_filter("datum.changed == 'yes'")
        .mark_point(shape="diamond", size=260, strokeWidth=2.5, filled=False)
        .encode(x=run, y=ratio, tooltip=tips)
    )
    return lines + intervals + changes


def ranks() -> "alt.LayerChart":
    """A curve for each contender and kind of scaling: efficiency over the number of ranks."""
    import altair as alt

    count = alt.X("ranks:O", title="ranks", axis=alt.Axis(labelAngle=0))

    def share_of(field: str) -> alt.Y:
        return alt.Y(f"{field}:Q", title="efficiency", axis=alt.Axis(format=".0%"))

    tips = tooltips(["label:N", "ranks:Q"], ["value", "low", "high"], ".1%")
    lines = (
        curves()
        .mark_line(point=True, strokeWidth=1.8)
        .encode(x=count, y=share_of("value"), tooltip=tips)
        .add_params(pick())
    )
    intervals = curves().mark_rule(strokeWidth=1.5).encode(x=count, y=share_of("low"), y2="high")
    return lines + intervals


def roofline() -> "alt.LayerChart":
    """A point for each cell below the roof of its machine: GFLOP/s over FLOP per byte."""
    import altair as alt

    log = alt.Scale(type="log", nice=False)
    rate = alt.Y("gflops:Q", title="GFLOP/s", scale=log)
    tips = tooltips(["label:N", "contest:N"], ["gflops", "flop_per_byte"], ",.1f")
    tips.append(alt.Tooltip("of_roof:Q", format=".0%"))
    chart = alt.Chart(data(), height=300)
    roof = (
        chart.transform_filter("isValid(datum.roof)")
        .mark_line(color="#8a8f98", strokeWidth=2)
        .encode(x=alt.X("roof:Q", title="FLOP per byte", scale=log), y=rate)
    )
    cells = (
        chart.transform_filter("isValid(datum.flop_per_byte)")
        .mark_point(filled=True, size=70)
        .encode(
            x=alt.X("flop_per_byte:Q", title="FLOP per byte"),
            y=rate,
            color=color(),
            opacity=faded(),
            shape=alt.Shape("workload:N", title=None),
            tooltip=tips,
        )
        .add_params(pick())
    )
    return roof + cells


KINDS: "dict[str, Callable[[], alt.Chart | alt.LayerChart]]" = {
    "throughput": throughput,
    "losses": losses,
    "latency": latency,
    "memory": memory,
    "blocks": blocks,
    "scaling": scaling,
    "ranks": ranks,
    "roofline": roofline,
    "history": history,
}
