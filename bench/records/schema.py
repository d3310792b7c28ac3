"""`python -m bench.records.schema FOLDER`: JSON Schemas of records and of `run.json`.

Those in `results/` are for programs that read results without this package.
"""

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from bench.files import write
from bench.records.record import Record
from bench.records.run import Run

FILES: dict[str, type[Any]] = {"record.schema.json": Record, "run.schema.json": Run}


def schema(kind: Any) -> str:
    """The JSON Schema of a type, as text."""
    return json.dumps(msgspec.json.schema(kind), indent=2) + "\n"


def main() -> int:
    folder = Path(sys.argv[1])
    for name, kind in FILES.items():
        write(folder / name, schema(kind))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
