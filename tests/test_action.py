"""`action.yml`: its steps, run by the shell that would run them, with the variables of a runner."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.records import Record
from bench.records.folder import RunFolder
from bench.records.reading import read
from builders import SPEEDS, processes, run, slower

ROOT = Path(__file__).parents[1]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
INPUTS: dict[str, Any] = ACTION["inputs"]
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"]}
Finished = subprocess.CompletedProcess[str]
EXPRESSION = re.compile(r"\$\{\{ ([\w.-]+) \}\}")


class Runner:
    """Runs steps of the action as a runner does, in a folder, with the programs of `scripts`."""

    def __init__(self, folder: Path, scripts: str, **context: str) -> None:
        self.folder = folder
        self.context = {
            "github.action_path": str(ROOT),
            "github.event_name": "pull_request",
            "github.event.pull_request.number": "7",
            "github.repository": "owner/name",
            "github.token": "a secret",
            "steps.compare.outputs.code": "",
        } | context
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PYTEST"))}
        self.variables = kept | {
            "PATH": f"{scripts}:{os.environ['PATH']}",
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "RUNNER_TEMP": str(folder),
            "GITHUB_STEP_SUMMARY": str(folder / "summary"),
            "GITHUB_OUTPUT": str(folder / "output"),
        }

    def step(self, name: str, **inputs: str) -> Finished:
        """Run one step with inputs, whose hyphens are underscores here."""
        context = self.context | {f"inputs.{key}": each["default"] for key, each in INPUTS.items()}
        context |= {f"inputs.{key.replace('_', '-')}": value for key, value in inputs.items()}
        variables = {
            key: EXPRESSION.sub(lambda match: context[match[1]], value)
            for key, value in STEPS[name].get("env", {}).items()
        }
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", STEPS[name]["run"]],
            cwd=self.folder,
            env=self.variables | variables,
            capture_output=True,
            text=True,
            timeout=500,
        )


@pytest.fixture
def step(tmp_path: Path, comments: "Comments") -> Callable[..., Finished]:
    """Run a step in this environment, whose API is one of `comments`."""
    runner = Runner(tmp_path, sysconfig.get_path("scripts"), **{"github.api_url": comments.address})
    runner.variables["PYTHONPATH"] = str(ROOT)
    return runner.step


class Comments(ThreadingHTTPServer):
    """The API as far as the action asks it: it keeps comments, or refuses them by `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.status = 201
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    server: Comments

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, dict(self.headers), body))
        said = json.dumps({"message": "as the API says"}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def comments() -> Iterator[Comments]:
    with Comments() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


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
    inputs: dict[str, str], code: int, step: Callable[..., Finished], tmp_path: Path
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


def test_a_comparison_becomes_a_comment(
    step: Callable[..., Finished], comments: Comments, tmp_path: Path
) -> None:
    assert step("Comment").returncode == 0  # there is no comparison
    assert comments.requests == []
    (tmp_path / "resnet-bench-run").mkdir()
    told = tmp_path / "resnet-bench-run" / "comparison.md"
    text = '# `A` → 5 % "slower" $(touch hacked)\n'
    told.write_text(text, encoding="utf-8")
    finished = step("Comment")
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")
    [(path, headers, body)] = comments.requests
    assert path == "/repos/owner/name/issues/7/comments"
    assert headers["Authorization"] == "Bearer a secret"
    assert body == {"body": text}
    assert not (tmp_path / "hacked").exists()
    told.write_text("€" * 70_000, encoding="utf-8")
    assert step("Comment").returncode == 0
    assert len(comments.requests[-1][2]["body"]) == 65_000


def test_a_comment_that_is_refused_is_told_and_leaves_the_verdict(
    step: Callable[..., Finished], comments: Comments, tmp_path: Path
) -> None:
    (tmp_path / "resnet-bench-run").mkdir()
    (tmp_path / "resnet-bench-run" / "comparison.md").write_text("# nothing changed\n")
    comments.status = 403  # the token of a fork's pull request cannot write
    finished = step("Comment")
    assert finished.returncode == 0
    assert "as the API says" in finished.stdout
    assert "::warning::no comment was made" in finished.stdout
    assert "403" in finished.stderr
    assert "a secret" not in finished.stdout + finished.stderr


def test_the_verdict_is_the_comparisons() -> None:
    assert STEPS["Verdict"]["env"] == {"CODE": "${{ steps.compare.outputs.code }}"}
    for code in (0, 1, 3):
        words = ["bash", "-c", STEPS["Verdict"]["run"]]
        assert subprocess.run(words, env={"CODE": str(code)}).returncode == code


def test_no_input_is_part_of_a_script() -> None:
    assert [name for name, each in STEPS.items() if "${{" in each["run"]] == []
    used = re.findall(r"inputs\.([\w-]+)", (ROOT / "action.yml").read_text(encoding="utf-8"))
    assert set(used) == INPUTS.keys()


@pytest.mark.long
def test_a_suite_is_measured_and_its_report_shown_where_a_row_fails(
    step: Callable[..., Finished], fake: Path, faulty: Callable[[str, str], Path], tmp_path: Path
) -> None:
    broken = faulty("broken", "def train(self, steps): raise RuntimeError('no such kernel')")
    fixed = 'certify = false\nprofile = "smoke"\noptimizer = ["sgd"]\n'
    (tmp_path / "suite.toml").write_text(f'impl = ["{fake}"]\n{fixed}')
    (tmp_path / "broken.toml").write_text(f'impl = ["{fake}", "{broken}"]\n{fixed}')
    for config, code in (("suite.toml", 0), ("broken.toml", 1)):
        finished = step("Measure", config=config, out=f"of-{config}")
        assert finished.returncode == code, finished.stderr
        assert (
            (tmp_path / "summary")
            .read_text()
            .endswith((tmp_path / f"of-{config}" / "report.md").read_text())
        )


@pytest.mark.long
def test_all_steps_in_a_fresh_environment(comments: Comments, tmp_path: Path) -> None:
    """From the installation, by pip and the network, to the comment and the verdict."""
    copy, environment = tmp_path / "action", tmp_path / "environment"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", ":!results"], cwd=ROOT, capture_output=True, text=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    context = {"github.action_path": str(copy), "github.api_url": comments.address}
    runner = Runner(tmp_path, str(environment / "bin"), **context)
    runner.variables["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    (tmp_path / "suite.toml").write_text('profile = "smoke"\nworkload = ["infer"]\n')
    before = {"config": "suite.toml", "out": "before"}
    after = {"config": "suite.toml", "base": "before", "control": "onnxruntime_engine"}
    for name, inputs in (
        ("Install", {}),
        ("Measure", before),
        ("Measure", after),
        ("Compare", after | {"fail_if": "slower=90%"}),
        ("Comment", after),
    ):
        finished = runner.step(name, **inputs)
        assert finished.returncode == 0, finished.stdout + finished.stderr
    runner.context["steps.compare.outputs.code"] = (
        (tmp_path / "output").read_text().removeprefix("code=").strip()
    )
    assert runner.step("Verdict", **after).returncode == 0
    rows = read(tmp_path / "resnet-bench-run")
    assert [row.status for row in rows] == ["ok"] * 2
    assert {row.certificate_timed for row in rows} == {"passed"}
    [(_, _, body)] = comments.requests
    assert body["body"] == (tmp_path / "resnet-bench-run" / "comparison.md").read_text()
    assert "openvino_engine compiled" in body["body"]
    assert body["body"] in (tmp_path / "summary").read_text()
