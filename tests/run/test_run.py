"""`resnet-bench run` from end to end: real command lines, processes, signals and files."""

import re
import subprocess
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import psutil
import pytest

from bench.records.reading import read
from bench.reports.write import REPORTS

KEPT = ("run.json", "records.jsonl", "constraints.txt", "SHA256SUMS")
DRAWN = ("report.html", "ranking.svg")

MakeFaulty = Callable[[str, str], Path]
Run = Callable[..., subprocess.CompletedProcess[str]]
Eventually = Callable[[Callable[[], bool]], bool]
Survivors = Callable[[list[psutil.Process]], list[psutil.Process]]

# The fake is no ResNet, so no certificate is asked for
TRAIN = ("--no-certify", "--workload", "train", "--optimizer", "sgd", "--steps", 10, "--replicates")


def test_faulty_cells_are_rows_and_the_rest_goes_on(
    fake: Path, faulty: MakeFaulty, resnet_bench: Run, tmp_path: Path
) -> None:
    files = [
        fake,
        faulty("raises", "def train(self, steps): raise RuntimeError('no kernel')"),
        faulty("dies", "def place(self, images, labels): os._exit(3)"),
        faulty("greedy", "def train(self, steps): raise MemoryError('8 GiB')"),
        faulty("absent", "import no_such_framework"),
        faulty("chatter", "print('hello')"),
    ]
    out = tmp_path / "a run [red]"
    finished = resnet_bench("run", "--impl", *files, *TRAIN, 2, "--out", out)
    assert finished.returncode == 1
    assert finished.stderr == ""
    assert str(out / "report.md") in finished.stdout

    rows = read(out)
    found = {(Path(row.implementation).stem, row.status, row.reason) for row in rows}
    [oom] = {each for each in found if each[0] == "greedy"}
    assert oom[1] == "oom"
    assert re.fullmatch(
        r"MemoryError: 8 GiB; this machine has [\d,]+ MiB: take a smaller --batch-size, .*",
        oom[2] or "",
    )
    assert found - {oom} == {
        ("fake_implementation", "ok", None),
        ("raises", "crashed", "RuntimeError: no kernel"),
        ("dies", "crashed", "exited with code 3 during its build"),
        ("absent", "unavailable", "No module named 'no_such_framework'"),
        ("chatter", "ok", None),
    }
    assert len(rows) == 2 * len(files)
    for row in rows:
        if row.status == "ok":
            assert row.final_loss == row.losses[-1] < row.losses[0]
            assert len(row.losses) == row.steps == 10
            assert row.throughput_images_per_s
            assert row.throughput_images_per_s > 0
        else:
            assert row.throughput_images_per_s is row.test_accuracy is None
        for text in (row.status, row.reason or ""):
            assert text in finished.stdout

    names = {path.name for path in out.iterdir()}
    assert names == {*KEPT, "logs", *REPORTS, *DRAWN}
    logs = {log.name.split("-")[0] for log in (out / "logs").iterdir()}
    assert logs == {"raises", "greedy", "absent", "chatter"}


def test_all_well_is_exit_code_0_and_leaves_no_logs(
    fake: Path, resnet_bench: Run, tmp_path: Path
) -> None:
    finished = resnet_bench(
        *("run", "--impl", fake, "--optimizer", "sgd", "--no-certify"),
        *("--profile", "smoke", "--machine-name", "mine"),
    )
    assert finished.returncode == 0
    [out] = (tmp_path / "results").iterdir()
    assert re.fullmatch(r"\d{8}-\d{6}-smoke", out.name)
    assert {path.name for path in out.iterdir()} == {*KEPT, *REPORTS, *DRAWN}
    kept = (out / "constraints.txt").read_text().splitlines()
    assert f"numpy=={version('numpy')}" in kept
    rows = read(out)
    assert sorted(row.workload for row in rows) == ["infer", "train"]
    assert {(row.run_id, row.machine, row.steps) for row in rows} == {(out.name, "mine", 4)}


@pytest.mark.parametrize(("names", "code"), [(("all",), 0), (("all", "flax_nnx"), 1)])
def test_what_cannot_run_fails_the_run_where_it_was_named(
    names: tuple[str, ...], code: int, resnet_bench: Run
) -> None:
    finished = resnet_bench("run", "--impl", *names, "--precision", "fp16", *TRAIN, 1)
    assert finished.returncode == code
    assert re.search(r"17 cells × 1 processes, 0 to measure, 17 cannot run here", finished.stdout)


def test_the_seed_decides_the_losses(fake: Path, resnet_bench: Run, tmp_path: Path) -> None:
    losses: dict[str, set[tuple[float, ...]]] = {}
    for name, seed in (("first", 7), ("again", 7), ("other", 8)):
        out = tmp_path / name
        resnet_bench("run", "--impl", fake, *TRAIN, 2, "--seed", seed, "--out", out)
        losses[name] = {row.losses for row in read(out)}
    assert losses["first"] == losses["again"]
    assert len(losses["first"]) == len(losses["other"]) == 1
    assert losses["first"] != losses["other"]


@pytest.mark.long
def test_pytorch_learns_the_digits(resnet_bench: Run, tmp_path: Path) -> None:
    arguments = "run --impl torch_module --workload train --steps 60 --replicates 1 --device cpu"
    finished = resnet_bench(
        *arguments.split(), "--profile", "smoke", "--no-certify", "--out", tmp_path / "run"
    )
    assert finished.returncode == 0, finished.stdout
    [row] = read(tmp_path / "run")
    assert row.status == "ok"
    assert row.test_accuracy
    assert row.test_accuracy >= 0.95
    assert len(row.losses) == 60
    for digest in (row.weights_sha256, row.data_sha256):
        assert re.fullmatch(r"[0-9a-f]{64}", digest or "")
    assert {"torch", "numpy", "python"} <= row.versions.keys()
