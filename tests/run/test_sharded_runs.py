"""A plan that several commands measure, each a shard of it: together they are the one run."""

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.api import Request, load, run
from bench.cli.main import main
from bench.errors import UsageError
from bench.records.folder import RunFolder
from bench.records.reading import read

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


def ran(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> tuple[str, str]:
    """What a command prints, and what it says on stderr."""
    assert main(list(map(str, words))) == code
    told = capsys.readouterr()
    return told.out, told.err


@pytest.mark.long
def test_all_shards_together_are_the_run_that_one_machine_would_have_given(
    fake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, shards = tmp_path / "whole", [tmp_path / f"part-{number}" for number in (1, 2, 3)]
    asked = ("run", "--impl", fake, *ASKED)
    ran(capsys, *asked, "--out", whole)
    for number, folder in enumerate(shards, start=1):  # two contests, so replicates are divided
        out, _ = ran(capsys, *asked, "--out", folder, "--shard", f"{number}/3")
        assert f"shard {number}/3: " in out
        rows = read(folder)
        assert len({(row.batch_size, row.replicate) for row in rows}) * 2 == len(rows)
        assert len({row.cohort for row in rows}) * 2 == len(rows)  # contenders side by side
        assert f"shard {number}/3 of plan" in (folder / "report.md").read_text(encoding="utf-8")
    assert measured(*shards) == measured(whole)
    runs = [RunFolder.open(folder).run for folder in shards]
    assert all(run.options == RunFolder.open(whole).run.options for run in runs)
    [plan] = {run.shard.plan[:8] for run in runs if run.shard}

    text, said = ran(capsys, "report", *shards, "--out", tmp_path / "merged")
    assert said == ""
    assert text.startswith(f"# plan {plan}\n")
    assert "--shard" not in text
    assert columns(tmp_path / "merged") == columns(whole)

    exported = ("--export", "bencher", "--out", tmp_path / "two.json")
    _, said = ran(capsys, "report", *shards[:2], *exported)
    assert said == f"resnet-bench: warning: shard 3/3 is missing of plan {plan}\n"
    assert load(shards[:2]).remarks == [f"shard 3/3 is missing of plan {plan}"]
    _compared_as_one_run(capsys, whole, shards)
    _goes_on(capsys, shards[1])


def _compared_as_one_run(
    capsys: pytest.CaptureFixture[str], whole: Path, shards: Sequence[Path]
) -> None:
    """The folder of all shards is a side of `compare`; one of some says what it lacks."""
    together = shards[0].parent / "together"
    together.mkdir()
    for folder in shards:
        (together / folder.name).symlink_to(folder)
    ran(capsys, "compare", whole, together, "--json", "--out", together / "told.json")
    [told] = json.loads((together / "told.json").read_text(encoding="utf-8"))
    assert len(told["cells"]) == 4
    (together / shards[2].name).unlink()
    text, _ = ran(capsys, "compare", whole, together)
    assert f"{together}: shard 3/3 is missing of plan" in text


def _goes_on(capsys: pytest.CaptureFixture[str], shard: Path) -> None:
    """A shard is resumed as it was cut, and not where that cut is no more."""
    before, path, described = measured(shard), shard / "records.jsonl", shard / "run.json"
    first = path.read_text(encoding="utf-8").split("\n", 1)[0]
    path.write_text(f"{first}\n", encoding="utf-8")
    asked = described.read_text(encoding="utf-8")
    changed = json.loads(asked)
    changed["shard"]["plan"] = "0" * 64  # as of a version that cuts another way
    described.write_text(json.dumps(changed), encoding="utf-8")
    _, said = ran(capsys, "run", "--resume", shard, code=2)
    assert "this version cuts the plan of shard 2/3 another way than" in said
    assert len(said.splitlines()) == 1

    described.write_text(asked, encoding="utf-8")
    ran(capsys, "run", "--resume", shard)
    assert measured(shard) == before


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


def test_a_program_measures_a_shard_and_parts_of_two_plans_are_refused(
    fake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = Request(
        impl=(str(fake),),
        optimizer=("sgd",),
        workload=("train",),
        batch_size=(32, 64),
        steps=4,
        certify=False,
    )
    folders = [tmp_path / name for name in ("first", "second")]
    for number, (folder, steps) in enumerate(zip(folders, (4, 5), strict=True), start=1):
        request = replace(asked, steps=steps)
        report = run(request, folder, profile="smoke", shard=(number, 2))
        assert report.runs[0].shard is not None
        assert report.runs[0].shard.name == f"{number}/2"
        assert len(report.records) == 1
    with pytest.raises(UsageError, match="they differ in steps, cap; give the shards of one plan"):
        load(folders)
    _, said = ran(capsys, "report", *folders, "--out", tmp_path / "merged", code=2)
    assert "shards of 2 plans were given, which are no one run (1/2 of " in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "merged").exists()


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
