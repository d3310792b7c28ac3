"""Records as a pandas DataFrame, for notebooks."""

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from bench.records import Record

if TYPE_CHECKING:
    import pandas

# Types of Record's fields -> dtypes in which unknown is no number, and never 0. Text stays text and
# is no category, since groupby would list categories that a selection no longer holds.
DTYPES: dict[Any, str] = {
    str: "string",
    str | None: "string",
    int: "int64",
    int | None: "Int64",
    float | None: "float64",
    bool | None: "boolean",
}


def frame(records: Sequence[Record]) -> "pandas.DataFrame":
    """One row per record and one column per field, in their order, under the names of Record.

    `utc` is a time in UTC. Text is `string`, whole numbers are `int64` (`Int64` where they may be
    unknown), other numbers `float64` (unknown: NaN), truths `boolean`. Raw lists such as `block_s`
    stay a list in each row, `versions` and `settings` a dict.
    """
    import pandas

    columns: dict[str, Any] = {}
    for field in fields(Record):
        values = [getattr(record, field.name) for record in records]
        if field.name == "utc":
            times = pandas.to_datetime(values, utc=True, format="ISO8601", errors="coerce")
            columns[field.name] = pandas.Series(times.as_unit("us"))
        elif field.type in DTYPES:
            columns[field.name] = pandas.Series(values, dtype=DTYPES[field.type])
        else:
            values = [list(value) if isinstance(value, tuple) else value for value in values]
            columns[field.name] = pandas.Series(values, dtype=object)
    return pandas.DataFrame(columns)
