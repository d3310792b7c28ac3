"""The published run as it is, and as another machine might have measured it.

There are no records of a second machine. Those made here are the real ones with another name and
all their times divided by one factor: good enough to test what is said of them, and nothing else.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parents[1] / "results" / "20261123-004002-quick"
CONTENDERS = ("torch_module", "tensorflow_module", "flax_nnx")


def published(folder: Path) -> Path:
    """A copy of the three leanest contenders of the published run, in the new `folder`."""
    lines = (SOURCE / "records.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for line in lines if (row := json.loads(line))["implementation"] in CONTENDERS]
    return write(folder, json.loads((SOURCE / "run.json").read_text(encoding="utf-8")), rows)


def write(folder: Path, run: Any, rows: Iterable[Any]) -> Path:
    """A run's folder of these."""
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "records.jsonl").write_text(text, encoding="utf-8")
    return folder


def elsewhere(
    source: Path,
    folder: Path,
    factor: float = 1.0,
    machine: str = "other",
    chip: str = "Other CPU",
    change: Callable[[Any], object] = lambda row: None,
    **facts: Any,
) -> Path:
    """The run of `source` as `machine` with `chip` might have measured it, `factor` times as fast.

    `change` alters each row, `facts` what `run.json` says of the machine.
    """
    run = json.loads((source / "run.json").read_text(encoding="utf-8"))
    run |= {"run_id": folder.name, "command": f"resnet-bench run --machine-name {machine}"}
    run["machine"] |= {"machine": machine, "cpu": chip} | facts
    rows = [json.loads(line) for line in (source / "records.jsonl").read_text().splitlines()]
    for row in rows:
        row |= {"run_id": folder.name, "machine": machine, "processor": chip}
        row["block_s"] = [seconds / factor for seconds in row["block_s"]]
        if row["throughput_images_per_s"]:
            row["throughput_images_per_s"] *= factor
        change(row)
    return write(folder, run, rows)


def edit(folder: Path, change: Callable[[Any], object]) -> None:
    """Alter every row of a run where it lies."""
    path = folder / "records.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        change(row)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
