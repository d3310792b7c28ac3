"""`cluster slurm`: what it submits, and what a real Slurm makes of it."""

import csv
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.records.folder import RunFolder
from bench.records.reading import read
from clusters import ASKED, HELD, Slurm, fingerprint, held_runs, hold


def printed(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main(["cluster", "slurm", *map(str, words)]) == 0
    return capsys.readouterr().out


def test_a_script_asks_slurm_for_what_was_asked_for(
    fake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a 100%"
    asked = ("--partition", "gpu", "--gpus", "h100:1", "--time", "2:00:00", "--out", out)
    more = ("--on", "each", "h100", "a100", "--constraint", "ib", "--at-once", 2)
    run = ("--dry-run", "--sbatch=--comment=it's mine", "--", "run", "--impl", fake, *ASKED)
    first, second, merge = printed(capsys, *asked, *more, *run).split("#!/bin/sh\n")[1:]
    for kind, script in (("h100", first), ("a100", second)):
        options = [
            line.removeprefix("#SBATCH ") for line in script.splitlines() if "SBATCH " in line
        ]
        assert {f"--constraint=ib&{kind}", "--gres=gpu:h100:1", "--time=2:00:00"} <= {*options}
        assert {"--array=1-2%2", "--exclusive", "--requeue", "--partition=gpu"} <= {*options}
        assert f'"--output={tmp_path}/a 100%%/logs/{kind}-%a.log"' in options
        assert '"--comment=it\'s mine"' in options
        assert f"--machine-name {kind}" in script
    assert "--gres" not in merge
    assert "--partition=gpu" in merge
    assert not out.exists()
    shared = printed(capsys, "--cpus", 4, *run)
    assert "--cpus-per-task=4" in shared
    assert "--exclusive" not in shared
    assert 'RESNET_BENCH_LOCK="$part.lock"' in shared.partition("mkdir -p ")[2]
    assert "RESNET_BENCH_LOCK" not in first


def test_a_script_measures_its_shard_though_no_folder_is_there_yet(
    fake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("--cpus", 1, "--out", tmp_path / "a sweep", "--dry-run")
    script = printed(capsys, *asked, "--", "run", "--impl", fake, *ASKED).split("#!/bin/sh\n")[1]
    task = {"SLURM_ARRAY_TASK_ID": "1", "SLURMD_NODENAME": "here"}
    variables = os.environ | task | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(["sh", "-c", script], env=variables, check=True, timeout=120)
    assert len(read(tmp_path / "a sweep" / "nodes" / "part-1")) == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--", "report", "x"], "give the run behind two dashes: -- run"),
        ([], "give the run behind two dashes: -- run"),
        (["--", "run", "--impl", "toch_module"], "did you mean 'torch_module'?"),
        (["--", "run", "--steps", "0"], "'0' is not a whole number above 0"),
        (["--", "run", "--shard", "1/2", "--out", "x"], "leave out --shard, --out of the run"),
        (["--", "run", "--budget", "1m"], "leave out --budget of the run"),
        (["--shards", "9", "--", "run", "--impl", "FAKE"], "give 2 shards at most"),
        (["--on", "red", "--", "run", "--impl", "FAKE"], "--on each h100 a100"),
        (["--on", "each", "a", "a", "--", "run", "--impl", "FAKE"], "each feature only once"),
        (["--on", "each", "logs", "--", "run", "--impl", "FAKE"], "none of logs, merge, merged"),
        (["--sbatch", "x", "--", "run", "--impl", "FAKE"], "--sbatch x: is no option"),
        (["--qos", "a\nb", "--", "run", "--impl", "FAKE"], "'--qos=a\\nb': is no option that a"),
        (["--", "run", "--impl", "FAKE"], "there is no sbatch here"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    words: Sequence[str],
    said: str,
    fake: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    given = [str(fake) if word == "FAKE" else word for word in words]
    once = ["--replicates", "1", "--optimizer", "sgd"] if "FAKE" in words else []
    assert main(["cluster", "slurm", *given, *once]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert said in line
    assert [path.name for path in tmp_path.iterdir()] == [fake.parent.name]


@pytest.mark.long
def test_slurm_refuses_in_one_line_and_nothing_stays_in_its_queue(
    slurm: Slurm, fake: Path, tmp_path: Path
) -> None:
    words = ("--on", "each", "red", "green", "--out", "out", "--", "run", "--impl", str(fake))
    refused = submitted(slurm, tmp_path, *words, "--optimizer", "sgd")
    assert refused.returncode == 2
    [line] = refused.stderr.splitlines()
    assert "sbatch refused green.sh, and nothing is queued" in line
    assert not (tmp_path / "out").exists()
    assert not slurm.ask("squeue", "--noheader", "--states=PENDING,RUNNING")


@pytest.mark.long
def test_an_array_measures_every_record_once_though_a_task_is_preempted(
    slurm: Slurm,
    faulty: Callable[[str, str], Path],
    tmp_path: Path,
    eventually: Callable[..., bool],
) -> None:
    held = faulty("held", HELD)
    run = ("run", "--impl", str(held), *map(str, ASKED))
    hold(held.parent, sizes=())
    assert main([*run, "--out", str(tmp_path / "one")]) == 0
    one = sorted(map(fingerprint, read(tmp_path / "one")))
    assert len(one) == 8
    hold(held.parent, free=2)  # two contenders, so a first cohort ends
    out = tmp_path / "out of two"
    # both nodes are this machine, where exclusive jobs would exclude each other
    nodes = ("--cpus", str(os.cpu_count()), "--on", "each", "red", "blue")
    done = submitted(slurm, tmp_path, *nodes, "--out", str(out), "--", *run)
    assert done.stderr == ""
    assert [line.split(": ")[1] for line in done.stdout.splitlines()] == [
        "2 shards on red, by red.sh",
        "2 shards on blue, by blue.sh",
        "merges them into " + str(out / "merged"),
    ]

    assert eventually(lambda: held_runs(held.parent) == 2, 300)
    running = slurm.ask("squeue", "--noheader", "--states=R", "--format=%i %N").splitlines()
    [task] = [line.split()[0] for line in running if line.endswith("node1")]
    red = out / "red" / f"part-{task.split('_')[1]}"
    assert eventually((red / "records.jsonl").exists)
    before = read(red)
    assert 0 < len(before) < 4
    slurm.ask("scontrol", "requeue", task)
    assert eventually(lambda: task in slurm.ask("squeue", "-h", "-t", "PD", "--format=%i"), 60)
    (held.parent / "go").touch()
    assert eventually(lambda: not slurm.ask("squeue", "--noheader"), 400)

    log = (out / "logs" / f"red-{red.name.removeprefix('part-')}.log").read_text()
    assert "on node1, requeued 0 times" in log
    assert "on node1, requeued 1 times" in log
    parts = {kind: [out / kind / f"part-{n}" for n in (1, 2)] for kind in ("red", "blue")}
    assert [row for row in read(red) if row in before] == before
    for kind, folders in parts.items():
        rows = [row for folder in folders for row in read(folder)]
        assert sorted(map(fingerprint, rows)) == one
        assert {row.machine for row in rows} == {kind}
        runs = [RunFolder.open(folder).run for folder in folders]
        assert len({run.shard.plan for run in runs if run.shard}) == 1
    with (out / "merged" / "results.csv").open(encoding="utf-8", newline="") as file:
        merged = Counter(
            (row["machine"], row["mode"], row["batch_size"], row["replicate"])
            for row in csv.DictReader(file)
        )
    assert len(merged) == 16
    assert set(merged.values()) == {1}
    told = (out / "merged" / "report.md").read_text(encoding="utf-8")
    assert "missing" not in told
    assert "more than once" not in told
    assert "no one run" not in told


def submitted(slurm: Slurm, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """What `cluster slurm` answers in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "bench", "cluster", "slurm", *words],
        cwd=folder,
        env=slurm.variables | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
