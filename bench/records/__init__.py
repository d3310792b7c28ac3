"""Everything about files of results: records, runs, their folders, and how they are read."""

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from bench.records.record import EXPECTED, FIELDS, SCHEMA, SEQUENCES, Record, from_json
from bench.records.run import Machine, Run

if TYPE_CHECKING:
    import pandas

__all__ = [
    "EXPECTED",
    "FIELDS",
    "SCHEMA",
    "SEQUENCES",
    "Machine",
    "Record",
    "Run",
    "from_json",
    "load",
]


def load(paths: str | Path | Iterable[str | Path]) -> "pandas.DataFrame":
    """One row per record, in the order given, with the fields of Record as columns: see `frame`.

    `paths`: one or more `records.jsonl`, run folders or folders of those. Raises UsageError as
    `reading.read` does; warns of a last line that a killed run cut off. Needs pandas, an extra.
    """
    from bench.records.frame import frame
    from bench.records.reading import read_all

    given = [paths] if isinstance(paths, str | Path) else paths
    return frame(read_all(map(Path, given), warnings.warn))
