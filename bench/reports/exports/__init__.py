"""Reports in the formats of other programs.

To add one, write its file with `serialize(report)`, and add that to `EXPORTS`.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from bench.errors import UsageError
from bench.files import Content, write_named
from bench.records import Record
from bench.reports.exports import bencher, github_action, parquet, pytest_benchmark
from bench.reports.report import Report

# Name -> what the file is called where a folder is given, and what writes it
EXPORTS: dict[str, tuple[str, Callable[[Report], str | bytes]]] = {
    "bencher": ("bencher.json", bencher.serialize),
    "github-action-benchmark": ("github-action-benchmark.json", github_action.serialize),
    "parquet": ("records.parquet", parquet.serialize),
    "pytest-benchmark": ("pytest-benchmark.json", pytest_benchmark.serialize),
}


def export(report: Report, name: str, place: Path) -> Path:
    """Write one of EXPORTS to a file, or into a folder that is there; returns the file.

    Raises UsageError where that is impossible, or needs what is not installed.
    """
    called, serialize = EXPORTS[name]
    return _placed(serialize(report), called, place)


def export_rows(records: Iterable[Record], place: Path) -> Path:
    """Write records that need not fit into memory together as Parquet, as `export` does."""
    called, _ = EXPORTS["parquet"]
    return _placed(parquet.parts(records), called, place)


def _placed(content: Content, called: str, place: Path) -> Path:
    """Write a file that is called so where a folder is given. Raises UsageError."""
    file = place / called if os.path.isdir(place) else place
    try:
        write_named(file, content)
    except OSError as error:
        raise UsageError(f"--out {place}: cannot be written ({error.strerror})") from None
    return file
