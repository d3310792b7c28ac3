"""A plan that several commands measure, each a shard of it: together they are the one run."""

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.cli.main import main
from bench.records.folder import RunFolder
from bench.records.reading import read

Run = Callable[..., subprocess.CompletedProcess[str]]

ASKED = (
    *("--no-certify", "--workload", "train", "--optimizer", "sgd", "--steps", 6, "--seed", 7),
    *("--mode", "eager", "graph", "--batch-size", 32, 64, "--replicates", 2),
)


def measured(*folders: Path) -> list[tuple[Any, ...]]:
    """What a run must give again wherever it is measured, and no time."""
    rows = (row for folder in folders for row in read(folder))
    return sorted(
        (
            *(row.cell.name, row.replicate, row.drawn_seed, row.status),
            *(row.weights_sha256, row.data_sha256, row.losses, row.final_loss, row.test_accuracy),
        )
        for row in rows
    )


def columns(folder: Path) -> list[tuple[str, ...]]:
    with (folder / "results.csv").open(encoding="utf-8", newline="") as file:
        return sorted((r["mode"], r["batch_size"], r["replicate"]) for r in csv.DictReader(file))


def test_all_shards_together_are_the_run_that_one_machine_would_have_given(
    fake: Path, resnet_bench: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, shards = tmp_path / "whole", [tmp_path / f"part-{number}" for number in (1, 2, 3)]
    asked = ("run", "--impl", fake, *ASKED)
    assert resnet_bench(*asked, "--out", whole).returncode == 0
    for number, folder in enumerate(shards, start=1):  # two contests, so replicates are divided
        ran = resnet_bench(*asked, "--out", folder, "--shard", f"{number}/3")
        assert ran.returncode == 0, ran.stderr
        assert f"shard {number}/3: " in ran.stdout
        rows = read(folder)
        assert len({(row.batch_size, row.replicate) for row in rows}) * 2 == len(rows)
        assert len({row.cohort for row in rows}) * 2 == len(rows)  # contenders side by side
        assert f"shard {number}/3 of plan" in (folder / "report.md").read_text(encoding="utf-8")
    assert measured(*shards) == measured(whole)
    runs = [RunFolder.open(folder).run for folder in shards]
    assert len({run.shard and run.shard.plan for run in runs}) == 1
    assert all(run.options == RunFolder.open(whole).run.options for run in runs)

    assert main(["report", *map(str, shards), "--out", str(tmp_path / "merged")]) == 0
    assert capsys.readouterr().err == ""
    assert main(["report", str(whole), "--out", str(tmp_path / "alone")]) == 0
    assert columns(tmp_path / "merged") == columns(tmp_path / "alone")
    text = (tmp_path / "merged" / "report.md").read_text(encoding="utf-8")
    plan = runs[0].shard.plan[:8] if runs[0].shard else ""
    assert text.startswith(f"# plan {plan}\n")
    assert "--shard" not in text

    _a_shard_is_resumed(resnet_bench, shards[1], measured(*shards))
    capsys.readouterr()
    assert main(["report", *map(str, shards[:2]), "--out", str(tmp_path / "two")]) == 0
    said = f"shard 3/3 is missing of plan {plan}"
    assert capsys.readouterr().err == f"resnet-bench: warning: {said}\n"
    assert f"**Warning**: {said}" in (tmp_path / "two" / "report.md").read_text(encoding="utf-8")


def _a_shard_is_resumed(resnet_bench: Run, shard: Path, every: list[tuple[Any, ...]]) -> None:
    before, path = measured(shard), shard / "records.jsonl"
    path.write_text(path.read_text(encoding="utf-8").split("\n", 1)[0] + "\n", encoding="utf-8")
    assert measured(shard) != before
    resumed = resnet_bench("run", "--resume", shard)
    assert resumed.returncode == 0, resumed.stderr
    assert "1 to measure" in resumed.stdout
    assert measured(shard) == before

    described = shard / "run.json"
    text = described.read_text(encoding="utf-8")
    changed = json.loads(text)
    changed["shard"]["plan"] = "0" * 64  # as of a version that cuts another way
    described.write_text(json.dumps(changed), encoding="utf-8")
    refused = resnet_bench("run", "--resume", shard)
    assert refused.returncode == 2
    [line] = refused.stderr.splitlines()
    assert "cuts the plan of shard 2/3 another way" in line
    described.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--shard", "4/3"], "'4/3' is not a shard such as 2/3"),
        (["--shard", "0/3"], "'0/3' is not a shard such as 2/3"),
        (["--shard", "x"], "'x' is not a shard such as 2/3"),
        (["--shard", "1/3/3"], "'1/3/3' is not a shard such as 2/3"),
        (["--shard", "1/5"], "--shard I/5: the plan has 2 contests of 2 processes per cell"),
        (["--shard", "1/3", "--precision-target", "1%"], "give 2 shards at most"),
        (["--shard", "1/3", "--resume", "there"], "leave out --"),
    ],
)
def test_a_shard_that_cannot_be_is_refused_in_one_line(
    words: list[str],
    said: str,
    fake: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for more in ([], ["--plan"]) if "--resume" not in words else ([],):
        assert main(["run", "--impl", *map(str, (fake, *ASKED)), *words, *more]) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert said in line
    assert [path.name for path in tmp_path.iterdir()] == [fake.parent.name]


def test_a_budget_is_refused_with_a_shard(
    fake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["--impl", str(fake), "--shard", "1/2", "--budget", "1m", "--out", str(out)]
    assert main(["run", *words]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "leave out --shard, or --budget" in line
    assert not out.exists()


def test_the_plan_of_a_shard_is_its_part(fake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["run", "--impl", *map(str, (fake, *ASKED)), "--plan", "--json"]
    processes = 0
    for number in (1, 2, 3):
        assert main([*asked, "--shard", f"{number}/3"]) == 0
        shown = json.loads(capsys.readouterr().out)
        assert shown["processes"] == sum(each["processes"] for each in shown["contests"])
        assert f"this is shard {number}/3: " in shown["remarks"][-1]
        processes += shown["processes"]
    assert processes == 8
