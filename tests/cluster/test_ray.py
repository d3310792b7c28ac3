"""`run --engine ray`: mistakes are one line, and a real cluster loses nodes and drivers."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from bench.cli.main import main
from bench.cluster.node import PROGRAM
from bench.records.reading import read
from bench.records.record import Record
from clusters import ASKED, HELD, fingerprint, held_runs, hold

RUN = ("run", "--engine", "ray")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--engine", "ray", "--shard", "1/2"], "--engine ray: leave out --shard, which is of one"),
        (["--engine", "ray", "--budget", "1m"], "--engine ray: leave out --budget"),
        (["--engine", "ray", "--impl", "toch_module"], "did you mean 'torch_module'?"),
        (["--on", "each-node"], "--address and --on are of --engine ray"),
        (["--engine", "ray", "--on", "each-node", "--machine-name", "a"], "each node has its own"),
        (["--engine", "ray", "--resume", "there"], "there is no cluster.json in it"),
        (["--engine", "ray"], "--engine ray needs Ray: pip install 'resnet-bench[ray]'"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    words: Sequence[str],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "ray", None)  # as where it is not installed
    assert main(["run", *words]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert said in line
    assert list(tmp_path.iterdir()) == []


class Ray(NamedTuple):
    """A cluster whose head measures nothing."""

    cluster: Any
    nodes: dict[str, Any]  # by the resource that only one has

    @property
    def address(self) -> str:
        return str(self.cluster.address)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Ray]:
    """Three nodes on this machine."""
    utils = pytest.importorskip("ray.cluster_utils", reason="Ray is not installed")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    head = {"num_cpus": 0, "include_dashboard": False}
    made = utils.Cluster(initialize_head=True, head_node_args=head)
    try:
        nodes = {}
        for number, name in enumerate(("red", "green", "blue"), start=1):
            # the nodes are one machine, on which only one run measures at a time
            monkeypatch.setenv("RESNET_BENCH_LOCK", str(tmp_path / f"{name}.lock"))
            nodes[name] = made.add_node(num_cpus=number, resources={name: 1})
        yield Ray(made, nodes)
    finally:
        made.shutdown()


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(cluster: Ray, tmp_path: Path) -> Iterator[Start]:
    """Start a driver, whose output and errors are one stream; all are ended after the test."""
    with ExitStack() as ending:

        def started(*words: str) -> "subprocess.Popen[str]":
            driver = subprocess.Popen(
                [sys.executable, "-m", "bench", *RUN, "--address", cluster.address, *words],
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            ending.enter_context(driver)
            ending.callback(driver.kill)
            return driver

        yield started


@pytest.mark.long
@pytest.mark.filterwarnings("default")  # Ray's own
def test_a_lost_node_and_a_killed_driver_lose_no_record_and_double_none(
    cluster: Ray,
    start: Start,
    faulty: Callable[[str, str], Path],
    tmp_path: Path,
    eventually: Callable[..., bool],
) -> None:
    held = faulty("held", HELD)
    asked = ("--impl", str(held), *map(str, ASKED))
    hold(held.parent, sizes=())
    assert main(["run", *asked, "--out", str(tmp_path / "one")]) == 0
    one = sorted(map(fingerprint, read(tmp_path / "one")))
    assert len(one) == 8

    hold(held.parent)
    out = tmp_path / "out"
    driver = start(*asked, "--out", str(out))
    assert driver.stdout is not None
    begun = [driver.stdout.readline() for _ in range(3)]
    assert sorted(line.split(":")[0] for line in begun) == [f"shard {n}/3" for n in (1, 2, 3)]
    assert eventually(lambda: held_runs(held.parent) == 3, 300)
    cluster.cluster.remove_node(cluster.nodes["green"], allow_graceful=False)
    while "was lost" not in (told := driver.stdout.readline()):  # Ray itself says much
        assert driver.poll() is None
    assert "it is measured again" in told
    (held.parent / "go").touch()
    rest = driver.stdout.read()
    assert driver.wait(300) == 0, rest
    assert "3 of 3 shards measured" in rest
    assert sorted(map(fingerprint, rows_of(out))) == one
    assert "missing" not in (out / "merged" / "report.md").read_text(encoding="utf-8")
    assert eventually(lambda: not measuring(), 60)

    hold(held.parent, sizes=[64])  # of the second shard
    out = tmp_path / "again"
    driver = start(*asked, "--on", "red", "--out", str(out))
    assert eventually(lambda: held_runs(held.parent) == 1, 300)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    assert eventually(lambda: not measuring(), 120)
    [part] = (out / "nodes").iterdir()
    before = (part / "records.jsonl").read_bytes()
    (held.parent / "go").touch()
    resumed = subprocess.run(
        [sys.executable, "-m", "bench", "run", "--resume", str(out)],
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert resumed.returncode == 0, resumed.stderr
    assert "1 of 1 shard measured" in resumed.stdout
    assert (part / "records.jsonl").read_bytes() == before
    assert sorted(map(fingerprint, rows_of(out))) == one


@pytest.mark.long
@pytest.mark.filterwarnings("default")
def test_each_node_measures_the_whole_plan_and_one_that_is_gone_is_said_in_rows(
    cluster: Ray,
    start: Start,
    faulty: Callable[[str, str], Path],
    tmp_path: Path,
    eventually: Callable[..., bool],
) -> None:
    held = faulty("held", HELD)
    asked = ("--impl", str(held), *map(str, ASKED), "--on", "each-node")
    out = tmp_path / "out"
    hold(held.parent, sizes=[64])  # of the second shard
    driver = start(*asked, "--out", str(out))
    assert eventually(lambda: held_runs(held.parent) == 3, 300)
    assert len(list(out.glob("*/part-1"))) == 3
    cluster.cluster.remove_node(cluster.nodes["blue"], allow_graceful=False)
    assert driver.stdout is not None
    while "measured again" not in driver.stdout.readline():
        assert driver.poll() is None
    (held.parent / "go").touch()
    rest = driver.stdout.read()
    assert driver.wait(400) == 1, rest
    assert "5 of 6 shards measured" in rest
    rows = rows_of(out)
    assert len(rows) == 24
    assert [*Counter(row.machine for row in rows).values()] == [8, 8, 8]
    crashed = [row for row in rows if row.status != "ok"]
    assert len(crashed) == 4
    assert len({row.machine for row in crashed}) == 1
    reason = "no node that could measure it was left"
    assert {(row.status, row.reason) for row in crashed} == {("crashed", reason)}


@pytest.mark.long
@pytest.mark.filterwarnings("default")
def test_what_the_cluster_lacks_is_said_before_anything_is_measured(
    cluster: Ray, start: Start, fake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = (
        (("--on", "purple"), "no node of the cluster has 1 CPU, purple"),
        (("--threads", "4"), "no node of the cluster has 4 CPU"),
        (("--device", "cuda"), "no node of the cluster has 1 CPU, 1 GPU"),
        (("--address", "127.0.0.1:9"), "--address 127.0.0.1:9: nobody answers"),
        (("--address", "nowhere"), "--address nowhere: nobody answers"),
        ((), "nodes differ: own-package "),
    )
    own = tmp_path / "packages" / "own_package-1.0.dist-info"
    own.mkdir(parents=True)
    (own / "METADATA").write_text("Metadata-Version: 2.1\nName: own-package\nVersion: 1.0\n")
    monkeypatch.setenv("PYTHONPATH", f"{own.parent}{os.pathsep}{os.environ['PYTHONPATH']}")
    cluster.cluster.add_node(num_cpus=1)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    for words, said in cases:
        run = start("--impl", str(fake), "--optimizer", "sgd", *words)
        out, _ = run.communicate(timeout=120)
        assert run.returncode == 2
        [line] = out.splitlines()
        assert said in line
    folders = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert folders == {fake.parent.name, "packages"}


def rows_of(out: Path) -> list[Record]:
    return [row for file in sorted(out.glob("*/part-*/records.jsonl")) for row in read(file)]


def measuring() -> list[psutil.Process]:
    """The runs that nodes have started."""
    found = []
    for process in psutil.process_iter():
        try:
            found += [process] if PROGRAM in process.cmdline() else []
        except psutil.Error:
            continue
    return found
