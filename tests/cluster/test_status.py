"""How far shards and nodes are: from folders alone, and what a driver shows of nodes."""

import io
import os
from dataclasses import replace
from pathlib import Path

import pytest

from bench import api
from bench.cli import nodes_display
from bench.cli.main import main
from bench.cli.terminal import Terminal
from bench.cluster.ray import NodeStanding, Standing
from bench.cluster.status import SILENT_S
from bench.machine import packages
from bench.plan.shards import cut
from bench.records.folder import RunFolder
from bench.request.matrix import cells_of
from bench.request.profiles import PROFILES
from bench.request.request import Request
from bench.run.check import filled
from builders import record, run

ASKED = Request(
    impl=("torch_module",),
    impl_named=True,
    mode=("eager", "compiled"),
    batch_size=(8, 16),
    workload=("infer",),
    device=("cpu",),
    threads=(1,),
    steps=5,
    replicates=2,
)


def begun(folder: Path, number: int, rows: int, node: str, **changes: str) -> RunFolder:
    """A shard of four, which has measured so many of its two rows, the last of them in vain."""
    parts = cut(ASKED, cells_of(ASKED), 4)
    machine = replace(run().machine, machine=node)
    described = replace(
        run(run_id=folder.name, resnet_bench="0.1.0"),
        options=ASKED,
        machine=machine,
        shard=parts[number - 1].shard,
        packages={"torch": "2.13.0", "numpy": "2.4.6"} | changes,
    )
    made = RunFolder.create(folder, described)
    for row in range(rows):
        status = "crashed" if row == 1 else "ok"
        made.append(record(run_id=folder.name, replicate=row, status=status))
    return made


def test_shards_are_seen_from_their_folders_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun(tmp_path / "part-1", 1, 2, "red")
    stopped = begun(tmp_path / "part-2", 2, 1, "green")
    for file in stopped.path.glob("*.json*"):
        os.utime(file, (0, file.stat().st_mtime - SILENT_S - 60))
    locked = begun(tmp_path / "part-3", 3, 0, "blue", torch="2.14.1")
    with locked.held():
        assert main(["cluster", "status", str(tmp_path)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[:6] for line in told[1:3]] == [
        ["3/4", "blue", "measuring", "0", "of", "2"],
        ["2/4", "green", "stopped", "1", "of", "2"],
    ]
    assert told[3].split(": ", 1)[1] == (
        "1 of 4 shards measured, 1 measuring, 1 stopped, 1 not begun; 3 of 8 records, 1 failed"
    )
    assert "versions differ: torch 2.13.0 in part-1 and 1 other, 2.14.1 in part-3" in told[4]
    assert told[5].endswith(f"resnet-bench run --resume {stopped.path}")


def test_a_shard_is_warned_of_other_versions_beside_it_before_it_measures(
    fake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = {"impl": (str(fake),), "mode": ("eager",), "optimizer": ("sgd",), "certify": False}
    asked = filled(
        replace(ASKED, workload=("train",), replicates=1, **own),  # type: ignore[arg-type]
        PROFILES["quick"],
    )
    parts = cut(asked, cells_of(asked), 2)
    described = run(run_id="part-1", packages={**packages.installed(), "numpy": "0.1"})
    RunFolder.create(tmp_path / "part-1", replace(described, options=asked, shard=parts[0].shard))
    told: list[str] = []

    def tell(progress: api.Progress) -> None:
        told.append(progress.line or "a record")

    api.run(asked, tmp_path / "part-2", shard=(2, 2), progress=tell)
    [warning] = [line for line in told if "different versions" in line]
    assert f"numpy {packages.installed()['numpy']} in part-2, 0.1 in part-1" in warning
    assert told.index(warning) < told.index("a record")
    assert main(["report", str(tmp_path / "part-1"), str(tmp_path / "part-2")]) == 0
    assert "different versions: " in capsys.readouterr().err


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_driver_shows_each_node_and_the_whole() -> None:
    nodes = [NodeStanding(f"node{n}", f"shard {n}/40", n, 9) for n in range(1, 31)]
    standing = Standing(nodes, shards=4, of=40, waiting=5, given_up=1)
    assert nodes_display.summary(standing) == (
        "4 of 40 shards measured; 30 nodes at 465 of 270 records; 5 waiting; 1 given up"
    )
    file = Screen()
    screen = Terminal(file=file, force_terminal=True, width=80, markup=False, highlight=False)
    with nodes_display.shown(screen) as show:
        show(standing)
    shown = file.getvalue()
    assert "node1  shard 1/40" in shown.replace("   ", "  ")
    assert "and 10 more nodes" in shown
