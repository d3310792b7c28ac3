"""The wall time of a run is accounted for: real command lines."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import cast

from bench.records.reading import read

KINDS = {"build", "warm_up", "block", "finish", "latency", "audit"}
PARTS = {"data", "largest_batch", "peaks", "certificates", "measuring", "reports"}


def spent_s(out: Path) -> dict[str, float]:
    return cast(dict[str, float], json.loads((out / "run.json").read_text())["spent_s"])


def test_the_parts_of_a_run_are_within_its_wall_time_and_add_up_when_resumed(
    fake: Path, resnet_bench: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    began_s = monotonic()
    resnet_bench(
        *("run", "--impl", fake, "--optimizer", "sgd", "--no-certify", "--steps", 10),
        *("--workload", "train", "infer", "train-to", "--target-accuracy", 0.1),
        *("--replicates", 2, "--out", out),
    )
    wall_s = monotonic() - began_s
    rows, spent = read(out), spent_s(out)
    assert len(rows) == 6
    assert spent.keys() == PARTS
    assert 0 < sum(spent.values()) < wall_s
    assert 0 < sum(sum(row.request_s.values()) for row in rows) < spent["measuring"]
    for row in rows:
        expected = KINDS - {"latency"} | {"evaluate"} if row.target_accuracy else KINDS
        assert row.request_s.keys() == expected
        assert sum(row.block_s) < row.request_s["block"]
        assert (row.first_step_s or 0) + (row.warmup_s or 0) < row.request_s["warm_up"]

    records = out / "records.jsonl"
    records.write_bytes(b"".join(records.read_bytes().splitlines(keepends=True)[:-1]))
    resnet_bench("run", "--resume", out)
    both_s, again = monotonic() - began_s, spent_s(out)
    assert len(read(out)) == 6
    assert all(again[part] >= spent[part] for part in PARTS)
    more = read(out)[-1].request_s
    assert again["measuring"] - spent["measuring"] > sum(more.values())
    assert sum(again.values()) < both_s


def test_processes_built_side_by_side_share_the_time(
    fake: Path, resnet_bench: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    resnet_bench(
        *("run", "--impl", fake, "--optimizer", "sgd", "--no-certify", "--steps", 4),
        *("--mode", "eager", "graph", "--workload", "train", "--replicates", 2, "--threads", 1),
        *("--out", out),
    )
    rows = read(out)
    assert sum(sum(row.request_s.values()) for row in rows) < spent_s(out)["measuring"]
