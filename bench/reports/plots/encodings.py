"""What charts of several kinds share: data, colours, axes and tooltips."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # slow to import, so only the process that renders does
    import altair as alt


@cache  # one object, which Altair gives to a chart as a whole and not to each layer
def data() -> "alt.NamedData":
    import altair as alt

    return alt.NamedData("rows")


def rows() -> "alt.Chart":
    """A chart with one row for each cell."""
    import altair as alt

    axis = alt.Axis(labelLimit=300, grid=False)
    label = alt.Y("label:N", sort=None, title=None, axis=axis)
    return alt.Chart(data(), height=alt.Step(26)).encode(y=label)


def curves() -> "alt.Chart":
    """A chart with one colour for each cell; those that are not picked are faded."""
    import altair as alt

    return alt.Chart(data(), height=300).encode(color=color(), opacity=faded())


def color() -> "alt.Color":
    import altair as alt

    return alt.Color("label:N", sort=None, title=None, scale=alt.Scale(scheme="tableau20"))


def pick() -> "alt.Parameter":
    """What a click on the legend picks."""
    import altair as alt

    return alt.selection_point(name="pick", fields=["label"], bind="legend")


def faded() -> Any:
    import altair as alt

    return alt.when(pick()).then(alt.value(0.9)).otherwise(alt.value(0.08))


def few() -> "alt.Axis":
    """An axis of thousands, which would run into each other."""
    import altair as alt

    return alt.Axis(tickCount=8, labelSeparation=6)


def whole() -> "alt.Axis":
    """An axis of whole numbers: there is no step 1.5."""
    import altair as alt

    return alt.Axis(tickMinStep=1, labelSeparation=6)


def tooltips(exact: Sequence[str], measured: Sequence[str], form: str) -> "list[alt.Tooltip]":
    """What is shown of a mark when it is pointed at."""
    import altair as alt

    return [
        *(alt.Tooltip(field) for field in exact),
        *(alt.Tooltip(f"{field}:Q", format=form) for field in measured),
    ]
