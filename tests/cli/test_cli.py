"""The command line: what it refuses, in one line and without a trace, and its small commands."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import __version__
from bench.cells import Cell
from bench.cli.main import COMMANDS, main, parser
from bench.cli.request import request_of
from bench.obstacles import obstacle

# Should one of them be taken after all, it does not take long
RUN = ("run", "--impl", "torch_module", "--no-certify", "--profile", "smoke", "--workload", "train")
TO = (*RUN[:-1], "train-to")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with something of every kind in it, to run in; temporary files go there too."""
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    (tmp_path / "finished").mkdir()
    (tmp_path / "finished" / "run.json").write_text("{}")
    (tmp_path / "short").mkdir()
    (tmp_path / "short" / "data_batch_1.bin").write_bytes(b"12345")
    (tmp_path / "short" / "test_batch.bin").write_bytes(b"12345")
    (tmp_path / "damaged" / "cifar-10-batches-py").mkdir(parents=True)
    (tmp_path / "damaged" / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"12345")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


REFUSED: list[tuple[tuple[str, ...], str]] = [
    ((*RUN, "--impl", "torch_modul"), "'torch_modul'"),
    ((*RUN, "--steps", "10000001"), "10000001 steps: choose at most 10,000,000"),
    ((*RUN, "--batch-size", "8", "10000001"), "10000001 images in a batch"),
    ((*RUN, "--replicates", "1000001"), "1,000,001 for each of 1 cells"),
    ((*RUN, "--impl", "nowhere.py"), "nowhere.py"),
    ((*RUN, "--impl", "empty.py/"), "'empty.py/'"),
    ((*RUN, "--impl", "n" * 300 + ".py"), "n" * 300),
    ((*RUN, "--impl", "keras_functional[mxnet]"), "'mxnet'"),
    ((*RUN, "--impl", "keras_functional[]"), "''"),
    ((*RUN, "--impl", "keras_functional[jax"), "keras_functional[jax"),
    ((*RUN, "--model", "resnet15"), "'resnet15'"),
    ((*RUN, "--device", "tpu"), "'tpu'"),
    ((*RUN, "--dataset", "mnist"), "'mnist'"),
    ((*RUN, "--precision", "fp8"), "'fp8'"),
    ((*RUN, "--mode", "slow"), "'slow'"),
    ((*RUN, "--workload", "play"), "'play'"),
    ((*RUN, "--optimizer", "lion"), "'lion'"),
    ((*RUN, "--schedule", "linear"), "'linear'"),
    *(((*RUN, "--weight-decay", value), f"{value!r}") for value in ("0", "-1", "1", "much")),
    ((*RUN, "--optimizer", "sgd", "adam", "--weight-decay", "1e-4"), "adam has none here"),
    ((*RUN, "--recipe", "article", "--schedule", "cosine"), "--recipe augmented"),
    ((*RUN, "--profile", "huge"), "'huge'"),
    *(
        ((*RUN, option, value), f"{value!r}")
        for option in ("--steps", "--batch-size", "--replicates", "--timeout")
        for value in ("0", "-1", "many", "nan")
    ),
    *(((*RUN, option, "1.5"), "'1.5'") for option in ("--steps", "--batch-size", "--seed")),
    ((*RUN, "--seed", "-1"), "'-1'"),
    ((*RUN, "--seed", str(2**62)), f"'{2**62}'"),
    ((*RUN, "--batch-size", "8", "x"), "'x'"),
    ((*RUN, "--batch-size", "8", "0", "max"), "'0'"),
    ((*RUN, "--batch-size", "max", "maximum"), "'maximum'"),
    ((*RUN, "--batch-size", ""), "''"),
    ((*RUN, "--batch-size"), "--batch-size"),
    ((*RUN, "--batch-size", "8", "16", "8"), "--batch-size 8 16 8"),
    ((*RUN, "--batch-size", "max", "max"), "--batch-size max max"),
    *(((*RUN, "--threads", value), f"{value!r}") for value in ("0", "-1", "1.5", "all", "")),
    ((*RUN, "--threads", "1", "99999"), "--threads 99999"),
    ((*RUN, "--threads", "1", "1"), "--threads 1 1"),
    ((*RUN, "--timeout", "inf"), "'inf'"),
    *(
        ((*RUN, "--precision-target", value), f"{value!r}")
        for value in ("0", "0%", "-1", "1", "100%", "200%", "nan", "nan%", "inf", "%", "few")
    ),
    *(((*TO, "--target-accuracy", value), f"{value!r}") for value in ("0", "1", "-0.1", "97", "x")),
    (TO, "--target-accuracy"),
    ((*RUN, "--target-accuracy", "0.9"), "train-to"),
    ((*RUN, "--evaluate-every", "5"), "train-to"),
    ((*TO, "--target-accuracy", "0.9", "--evaluate-every", "0"), "'0'"),
    ((*TO, "--target-accuracy", "0.9", "--dataset", "synthetic"), "synthetic"),
    ((*TO, "--target-accuracy", "0.9", "--steps", "1"), "--steps 1"),
    ((*TO, "--target-accuracy", "0.9", "--precision-target", "1%"), "--precision-target"),
    ((*RUN, "--input", "numpy"), "train+input"),
    ((*RUN, "--workload", "train+input", "--input", "numpy", "numpy"), "numpy numpy"),
    ((*RUN, "--workload", "train+input", "--input", "pandas"), "'pandas'"),
    ((*RUN, "--max-replicates", "9"), "--precision-target"),
    ((*RUN, "--precision-target", "1%", "--max-replicates", "0"), "'0'"),
    ((*RUN, "--precision-target", "1%", "--replicates", "5", "--max-replicates", "4"), "4"),
    ((*RUN, "--batch-size", "1438"), "1438"),
    ((*RUN, "--data-dir", "empty"), "--data-dir"),
    ((*RUN, "--dataset", "cifar10", "--data-dir", "nowhere"), "nowhere"),
    ((*RUN, "--dataset", "cifar10", "--data-dir", "file"), "file"),
    ((*RUN, "--dataset", "cifar10", "--data-dir", "empty"), "empty"),
    ((*RUN, "--dataset", "cifar10", "--data-dir", "short"), "data_batch_1.bin"),
    ((*RUN, "--dataset", "cifar10", "--data-dir", "damaged"), "damaged"),
    ((*RUN, "--dataset", "cifar10", "--data-dir", "n" * 300), "n" * 300),
    ((*RUN, "--out", "file"), "file"),
    ((*RUN, "--out", "file/below"), "file/below"),
    ((*RUN, "--out", "full"), "full"),
    ((*RUN, "--out", "finished"), "finished"),
    ((*RUN, "--out", "n" * 300), "n" * 300),
    ((*RUN, "--out", "/proc/nowhere"), "/proc/nowhere"),
    ((*RUN, "--device", "cuda"), "cuda"),
    (("run", "--resume", "nowhere"), "nowhere"),
    (("run", "--resume", "empty"), "empty"),
    (("run", "--resume", "file"), "file"),
    (("run", "--resume", "finished"), "finished"),
    (("run", "--fast"), "--fast"),
    (("report", "empty"), "empty"),
    (("report", "finished"), "finished"),
    (("report", "n" * 300), "n" * 300),
    (("report",), "DIR"),
    (("compare",), "BASE"),
    (("compare", "empty"), "NEW"),
    (("compare", "nowhere", "nowhere"), "nowhere"),
    (("compare", "empty", "full"), "empty"),
    (("compare", "file", "file"), "file: holds no records"),
    (("compare", "n" * 300, "file"), "n" * 300),
    *(
        (("compare", "file", "file", "--fail-if", limit), f"{limit!r}")
        for limit in ("slower", "slower=3", "slower=%", "slower=-1%", "slower=nan%", "slower=100%")
    ),
    *(
        (("compare", "file", "file", "--fail-if", "slower=3%", limit), f"{limit!r}")
        for limit in ("speed=3%", "memory=5pt", "accuracy=1%", "=3%", "")
    ),
    (("compare", "file", "file", "--fail-if", "slower=3%", "slower=4%"), "--fail-if slower"),
    (("describe",), "MODEL"),
    (("describe", "resnet15"), "'resnet15'"),
    (("describe", "resnet15", "--impl", "torch_module"), "'resnet15'"),
    (("describe", "resnet14", "--impl", "torch_modul"), "'torch_modul'"),
    (("describe", "resnet14", "--impl", "keras_functional[mxnet]"), "'mxnet'"),
    (("describe", "resnet14", "--impl", "nowhere.py"), "nowhere.py"),
    (("race",), "'race'"),
    ((), "COMMAND"),
]


@pytest.mark.parametrize(
    ("arguments", "given"), REFUSED, ids=[" ".join(a)[-40:] or "nothing" for a, _ in REFUSED]
)
def test_bad_input_is_refused_in_one_line_and_nothing_is_written(
    arguments: tuple[str, ...],
    given: str,
    place: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bench.machine.gpu.visible", lambda: ())
    before = sorted(place.rglob("*"))
    try:
        code = main(arguments)
    except SystemExit as end:  # argparse's way
        code = int(end.code or 0)
    captured = capfd.readouterr()
    assert code == 2
    assert captured.out == ""
    [line] = captured.err.splitlines()
    assert line.startswith("resnet-bench")
    assert given in line
    assert sorted(place.rglob("*")) == before


def test_a_cache_that_cannot_be_written_is_named_with_the_remedy(place: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "bench", *RUN, "--out", str(place / "run")],
        env={**os.environ, "XDG_CACHE_HOME": str(place / "file")},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 2
    [line] = finished.stderr.splitlines()
    assert f"{place / 'file' / 'resnet-bench'}: the cache cannot be written" in line
    assert "XDG_CACHE_HOME" in line
    assert not (place / "run").exists()


def test_a_mistyped_name_is_told_its_neighbour(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--impl", "torch_modul"]) == 2
    assert "did you mean 'torch_module'?" in capsys.readouterr().err
    assert main(["describe", "resnet141"]) == 2
    assert "did you mean 'resnet14'?" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_every_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    assert re.search(rf"^ +{command} ", capsys.readouterr().out, re.MULTILINE)


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"resnet-bench {__version__}\n"


def test_list_shows_implementations_backends_and_models(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    for name in ("torch_module", "keras_functional[jax]", "resnet14", "resnet152"):
        assert name in shown


def test_machine_shows_facts_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["machine", "--machine-name", "mine"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["machine"] == "mine"
    assert facts["cpu"]
    assert facts["logical_cores"] >= 1
    assert facts["memory_gib"] > 0


def test_machine_shows_the_peaks_of_all_that_can_be_computed_in(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.machine.gpu.visible", lambda: ())

    def probe(cells: list[Cell], timeout_s: float, *, remembered: bool) -> dict[str, list[str]]:
        assert not remembered
        return {"cpu": sorted({cell.precision for cell in cells if obstacle(cell) is None})}

    monkeypatch.setattr("bench.calibrate.peaks.probe", probe)
    assert main(["machine", "--peaks"]) == 0
    assert json.loads(capsys.readouterr().out)["peaks"] == {"cpu": ["bf16", "fp16", "fp32"]}


@pytest.mark.parametrize(
    ("words", "steps", "batch_size"),
    [
        ("--device cpu", 72, 32),
        ("--device cuda", 6000, 256),
        ("--device cpu cuda", 72, 32),
        ("--device cuda --profile full", 12000, 256),
        ("--device cuda --model resnet14 resnet50", 300, 256),
        ("--device cuda --steps 9 --batch-size 8", 9, 8),
    ],
)
def test_a_run_on_gpus_alone_has_a_load_of_its_own(words: str, steps: int, batch_size: int) -> None:
    request = request_of(parser().parse_args(["run", *words.split()]))
    assert (request.steps, request.batch_size) == (steps, (batch_size,))


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    program = f"'{sys.executable}' -m bench list | true; echo ${{PIPESTATUS[0]}}"
    finished = subprocess.run(["bash", "-c", program], capture_output=True, text=True)
    assert finished.stdout == "0\n"
    assert finished.stderr == ""


Run = Callable[..., subprocess.CompletedProcess[str]]


def test_report_derives_the_reports_of_one_run_again_and_merges_several(
    fake: Path, resnet_bench: Run, tmp_path: Path
) -> None:
    for name in ("here", "there"):
        arguments = [
            "--no-certify",
            "--optimizer",
            "sgd",
            "--workload",
            "train",
            "--profile",
            "smoke",
        ]
        resnet_bench("run", "--impl", fake, *arguments, "--machine-name", name, "--out", name)
    here, there, both = tmp_path / "here", tmp_path / "there", tmp_path / "both"

    before = {path.name: path.read_bytes() for path in here.iterdir()}
    (here / "results.csv").unlink()
    (here / "report.md").write_text("outdated")
    finished = resnet_bench("report", here)
    assert finished.returncode == 0
    assert finished.stdout == (here / "report.md").read_text(encoding="utf-8")
    assert {path.name: path.read_bytes() for path in here.iterdir()} == before

    finished = resnet_bench("report", here, there, "--out", both)
    assert finished.returncode == 0
    assert len((both / "results.csv").read_text().splitlines()) == 3
    for name in ("here", "there"):
        assert name in (both / "report.md").read_text()
        assert {path.name for path in (tmp_path / name).iterdir()} == before.keys()

    for taken in (both, here, tmp_path / "here" / "run.json" / "below", "/proc/nowhere"):
        refused = resnet_bench("report", here, "--out", taken)
        assert refused.returncode == 2
        assert len(refused.stderr.splitlines()) == 1
        assert str(taken) in refused.stderr
