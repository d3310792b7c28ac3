"""Records as Parquet, a row per record and a typed column per field, for pandas, DuckDB, Polars."""

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from bench.errors import UsageError
from bench.records import Record
from bench.reports.report import Report

PART = 2**20  # bytes that are passed on at once
SQL = {str: "VARCHAR", int: "BIGINT", float: "DOUBLE", bool: "BOOLEAN"}


def serialize(report: Report) -> bytes:
    """The content of a Parquet file. Raises UsageError where DuckDB is not installed."""
    return b"".join(parts(report.records))


def parts(records: Iterable[Record]) -> Iterator[bytes]:
    """The same in parts, of records that need not fit into memory together."""
    try:
        import duckdb
    except ImportError:
        remedy = "pip install 'resnet-bench[parquet]'"
        raise UsageError(f"--export parquet needs DuckDB: {remedy}") from None
    hints = get_type_hints(Record, include_extras=True)
    columns = {name: _sql(hints[name]) for name in Record.__dataclass_fields__}
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as database:
        rows, out = Path(folder) / "rows.jsonl", Path(folder) / "records.parquet"
        with rows.open("w", encoding="utf-8") as text:
            text.writelines(f"{record.to_json()}\n" for record in records)
        source = database.read_json(str(rows), columns=columns, format="newline_delimited")
        source.write_parquet(str(out), compression="zstd")
        with out.open("rb") as file:
            yield from iter(lambda: file.read(PART), b"")


def _sql(kind: Any) -> str:
    """The type of SQL that holds the values of a field."""
    if kind in SQL:
        return SQL[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _sql(arguments[0])
    if origin is Literal:
        return SQL[type(arguments[0])]
    if origin in (Union, UnionType):
        [one] = [each for each in arguments if each is not type(None)]
        return _sql(one)
    if origin is tuple:
        return f"{_sql(arguments[0])}[]"
    assert origin is dict, kind
    return f"MAP({_sql(arguments[0])}, {_sql(arguments[1])})"
