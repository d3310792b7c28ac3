"""The tour of a GPU, dry-run on a CPU: whether each of its steps works, and nothing of a GPU."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench.records.reading import read

RUNS = ("train14", "train14_engines", "train50", "infer14", "infer14_engines", "exact", "graphs")
TOUR = Path(__file__).with_name("benchmarks") / "gpu_tour.sh"


def tour(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = ["env", f"PYTHON={sys.executable}", "bash", TOUR, *arguments]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--out DIR says where the results go"),
        (("--out", "x", "--speed", "9"), "--speed: there are --out, --device"),
        (("--out", "x", "train99"), "train99: steps are facts certificates train14"),
    ],
)
def test_a_mistake_gets_one_line(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    found = tour(*arguments)
    assert (found.returncode, found.stdout) == (2, "")
    [line] = found.stderr.splitlines()
    assert said in line


def test_a_step_that_its_time_does_not_suffice_for_is_told_and_nothing_else(tmp_path: Path) -> None:
    found = tour("--out", tmp_path / "out", "--device", "cpu", "--limit", 5, "train14")
    assert found.returncode == 1
    lines = [line.split("\t") for line in (tmp_path / "out/tour.tsv").read_text().splitlines()]
    assert [line[0] for line in lines] == ["train14", "train14_eager", "train14_bare"]
    assert {line[1] for line in lines} == {"no time left"}


@pytest.mark.long
def test_every_step_works_on_a_cpu(tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = tour("--out", out, "--device", "cpu", "--profile", "smoke", "--limit", 3000)
    assert found.returncode == 0, found.stdout + found.stderr
    lines = [line.split("\t") for line in (out / "tour.tsv").read_text().splitlines()]
    ends = {name: code for name, code, _ in lines if code != "0"}
    assert ends == {"nvidia-smi": "needs a GPU"}, found.stdout
    for name in RUNS:
        assert {row.status for row in read(out / name)} == {"ok"}, name
    for name in ("yardstick14", "yardstick50"):
        assert "| itself |" in (out / f"{name}.log").read_text()
    assert "beside 6 suspended workers" in (out / "neighbours.log").read_text()
    assert "noise floor of cpu" in (out / "aa.log").read_text()
    assert "passed" in (out / "certificates50.md").read_text()
