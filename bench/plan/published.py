"""What published runs took, as a file within the package: estimates for a machine that is new.

`python -m bench.plan.published results` writes it anew, from all runs in the folder `results`.
"""

import json
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from bench.files import write
from bench.plan.observed import Observed, observed
from bench.records import Record
from bench.records.folder import RunFolder
from bench.records.reading import files
from bench.records.run import Run
from bench.validation import parse, plain

FILE = Path(__file__).with_name("published.json")
DIGITS = 4  # significant ones


@cache
def published() -> tuple[Observed, ...]:
    """All that the file holds."""
    return parse(FILE.read_bytes(), tuple[Observed, ...])


def text(folder: Path) -> str:
    """What the file is to hold of the runs in `folder`: a line for each cell of a run."""
    rows = observed(*runs_in(folder))
    lines = (json.dumps(_short(row)) for row in rows)
    return "[\n" + ",\n".join(lines) + "\n]\n"


def runs_in(folder: Path) -> tuple[list[Record], list[Run]]:
    """All records and runs of a folder of runs. Raises UsageError where one cannot be read."""
    opened = [RunFolder.open(file.parent) for file in files(folder)]
    return [row for each in opened for row in each.records()], [each.run for each in opened]


def _short(row: Observed) -> dict[str, Any]:
    found = {name: value for name, value in plain(row).items() if value is not None}
    return {name: _rounded(value) for name, value in found.items()}


def _rounded(value: Any) -> Any:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def main(arguments: Iterable[str]) -> int:
    [folder] = arguments
    write(FILE, text(Path(folder)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
