"""`action.yml`: its steps, run by the shell that would run them."""

import os
import re
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.records import Record
from bench.records.folder import RunFolder
from builders import SPEEDS, processes, run, slower

ROOT = Path(__file__).parents[1]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"]}
Step = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def step(tmp_path: Path) -> Step:
    """Run a step of the action in a folder of its own, with inputs."""

    def finish(name: str, **inputs: str) -> subprocess.CompletedProcess[str]:
        defaults = {key.replace("-", "_"): each["default"] for key, each in inputs_of().items()}
        given = defaults | inputs
        variables = {
            key: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda m: given[m[1].replace("-", "_")], v)
            for key, v in STEPS[name].get("env", {}).items()
        }
        scripts = sysconfig.get_path("scripts")
        places = {"GITHUB_STEP_SUMMARY": "summary", "GITHUB_OUTPUT": "output"}
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", STEPS[name]["run"]],
            cwd=tmp_path,
            env=os.environ
            | {"PATH": f"{scripts}:{os.environ['PATH']}"}
            | {key: str(tmp_path / file) for key, file in places.items()}
            | variables,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return finish


def inputs_of() -> dict[str, Any]:
    return dict(ACTION["inputs"])


def keep(path: Path, rows: list[Record]) -> None:
    folder = RunFolder.create(path, run(run_id=path.name))
    for row in rows:
        folder.append(row)


@pytest.mark.parametrize(
    ("inputs", "code"),
    [
        ({}, 0),
        ({"fail_if": "slower=3% memory=5%"}, 1),
        ({"fail_if": "slower=30%", "undecided": "fail"}, 0),
        ({"fail_if": "slower=3"}, 2),
        ({"control": "nobody $(touch hacked)"}, 2),
    ],
)
def test_a_comparison_is_shown_and_its_code_handed_on(
    inputs: dict[str, str], code: int, step: Step, tmp_path: Path
) -> None:
    keep(tmp_path / "base", processes(SPEEDS))
    keep(tmp_path / "resnet-bench-run", slower(0.1))
    finished = step("Compare", base="base", **inputs)
    assert finished.returncode == 0, finished.stderr
    assert (tmp_path / "output").read_text() == f"code={code}\n"
    if code < 2:
        shown = (tmp_path / "summary").read_text()
        assert shown == (tmp_path / "resnet-bench-run" / "comparison.md").read_text()
        assert "Speed of 1 cell: 1 slower." in shown
    assert not (tmp_path / "hacked").exists()


def test_the_verdict_is_the_comparisons() -> None:
    assert STEPS["Verdict"]["env"] == {"CODE": "${{ steps.compare.outputs.code }}"}
    for code in (0, 1, 3):
        words = ["bash", "-c", STEPS["Verdict"]["run"]]
        assert subprocess.run(words, env={"CODE": str(code)}).returncode == code


def test_no_input_is_part_of_a_script() -> None:
    assert [name for name, each in STEPS.items() if "${{" in each["run"]] == []
    used = re.findall(r"inputs\.([\w-]+)", (ROOT / "action.yml").read_text(encoding="utf-8"))
    assert set(used) == inputs_of().keys()


@pytest.mark.long
def test_a_suite_is_measured(step: Step, fake: Path, tmp_path: Path) -> None:
    options = f'impl = ["{fake}"]\ncertify = false\nprofile = "smoke"\noptimizer = ["sgd"]\n'
    (tmp_path / "suite.toml").write_text(options)
    finished = step("Measure", config="suite.toml")
    assert finished.returncode == 0, finished.stderr
    report = tmp_path / "resnet-bench-run" / "report.md"
    assert (tmp_path / "summary").read_text() == report.read_text()
