"""`--json`: what commands print for programs is what its published schema says."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bench.cli import schema
from bench.cli.main import main
from bench.records.folder import RunFolder
from builders import SPEEDS, processes, record, run, slower

ROOT = Path(__file__).parents[2]


def printed(capsys: pytest.CaptureFixture[str], name: str, *words: object, code: int = 0) -> Any:
    """What a command prints, held against its schema."""
    assert main([str(word) for word in (*words, "--json")]) == code
    found = json.loads(capsys.readouterr().out)
    published = json.loads((ROOT / "results" / f"{name}.schema.json").read_text("utf-8"))
    jsonschema.validate(found, published, jsonschema.Draft202012Validator)
    return found


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    """A run, and one that is 10 % slower, with a cell that failed."""
    crashed = record(implementation="flax_nnx", status="crashed", reason="signal 11")
    both = []
    for name, rows in (("first", [*processes(SPEEDS), crashed]), ("second", slower(0.1))):
        folder = RunFolder.create(tmp_path / name, run(run_id=name))
        for row in rows:
            folder.append(row)
        both.append(folder.path)
    return both[0], both[1]


@pytest.mark.parametrize("name", schema.FILES)
def test_published_schemas_are_those_of_the_code(name: str) -> None:
    assert (ROOT / "results" / name).read_text("utf-8") == schema.schema(schema.FILES[name])


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    found = printed(capsys, "list", "list")
    names = [each["name"] for each in found["implementations"]]
    assert {"torch_module", "keras_functional[jax]"} <= set(names)
    assert "resnet50" in found["models"]
    assert "one-minute" in found["suites"]


def test_describe(capsys: pytest.CaptureFixture[str], fake: Path) -> None:
    found = printed(capsys, "describe", "describe", "resnet14")
    assert sum(layer["parameters"] for layer in found["layers"]) == 195_738
    assert found["contenders"] == []
    built = printed(capsys, "describe", "describe", "resnet14", "--impl", fake)
    [contender] = built["contenders"]
    assert contender["status"] == "ok"
    assert contender["tensors"] == {"head.kernel": [64, 10], "head.bias": [10]}


def test_compare(sides: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    words = ("compare", *sides, "--fail-if", "slower=3%")
    [found] = printed(capsys, "compare", *words, code=1)
    [cell] = found["cells"]
    assert cell["cell"]["implementation"] == "torch_module"
    assert (cell["processes_base"], cell["processes_new"]) == (5, 5)
    assert cell["changes"]["speed"]["loss"] == pytest.approx(1 - 1 / 1.1, abs=0.001)
    assert cell["changes"]["speed"]["verdict"] == "slower"
    assert len(found["failed"]) == 1
    assert [each["cell"]["implementation"] for each in found["left_out"]] == ["flax_nnx"]


def test_check_and_plan(
    sides: tuple[Path, Path], fake: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = printed(capsys, "check", "check", *sides, code=1)
    assert list(found) == [str(side) for side in sides]
    planned = ("run", "--plan", "--impl", fake, "--profile", "smoke", "--workload", "train")
    assert printed(capsys, "plan", *planned)["cells"] == 1


def test_certify(fake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("certify", "--impl", fake, "keras_sequential[jax]", "--mode", "graph")
    found = printed(capsys, "certify", *words, "--optimizer", "sgd", code=1)
    mine, keras = found
    assert not mine["passed"]  # it is no ResNet
    assert mine["certificate"]["float64"]["failure"] or mine["certificate"]["float64"]["checks"]
    assert keras["certificate"] is None
    assert keras["reason"].startswith("unsupported: keras_sequential on jax has no mode graph")


def test_a_gate_may_fail_what_it_cannot_decide(
    tmp_path: Path, sides: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    # two disturbed processes of seven leave an interval that reaches beyond any limit
    disturbed = processes([*SPEEDS, 4.0, 5.0], run_id="third")
    folder = RunFolder.create(tmp_path / "third", run(run_id="third"))
    for row in disturbed:
        folder.append(row)
    words = ["compare", str(sides[0]), str(folder.path), "--fail-if", "slower=3%"]
    assert main(words) == 0
    assert main([*words, "--undecided", "pass"]) == 0
    assert main([*words, "--undecided", "fail"]) == 3
    slow = ["compare", *map(str, sides), "--fail-if", "slower=3%", "--undecided", "fail"]
    assert main(slow) == 1
    assert main([*words[:3], "--undecided", "fail"]) == 0  # without a limit nothing is open
