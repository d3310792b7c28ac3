"""`python -m bench.cli.schema FOLDER`: JSON Schemas of what commands print by `--json`.

Those of records and of `run.json` are written by `bench.records.schema`.
"""

import sys
from pathlib import Path
from typing import Any

from bench.analysis.fitness import Finding
from bench.cli.certify import Certified
from bench.cli.describe import Described
from bench.cli.list import Listed
from bench.compare.summary import Compared
from bench.files import write
from bench.plan.plan import Plan
from bench.records.schema import schema

FILES: dict[str, Any] = {
    "list.schema.json": Listed,
    "describe.schema.json": Described,
    "certify.schema.json": list[Certified],
    "compare.schema.json": list[Compared],
    "plan.schema.json": Plan,
    "check.schema.json": dict[str, list[Finding]],
}


def main() -> int:
    folder = Path(sys.argv[1])
    for name, kind in FILES.items():
        write(folder / name, schema(kind))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
