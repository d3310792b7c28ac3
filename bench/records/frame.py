"""Records as a pandas DataFrame, for notebooks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, get_type_hints

from bench.records.record import Record

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
    for name, kind in get_type_hints(Record).items():
        values = [getattr(record, name) for record in records]
        if name == "utc":
            times = pandas.to_datetime(values, utc=True, format="ISO8601", errors="coerce")
            columns[name] = pandas.Series(times.as_unit("us"))
        elif kind in DTYPES:
            columns[name] = pandas.Series(values, dtype=DTYPES[kind])
        else:
            values = [list(value) if isinstance(value, tuple) else value for value in values]
            columns[name] = pandas.Series(values, dtype=object)
    return pandas.DataFrame(columns)
