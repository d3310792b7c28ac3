"""The cells as pytest benchmarks: real runs of pytest over a copy of bench/benchmarks.py."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[1]
CELLS = ROOT / "bench" / "benchmarks.py"
ONLY = "--benchmark-only"

# A pytest that is run here is no worker of the one that runs this, and loads its own plugins
OUTSIDE = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}

TOGETHER = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])

MakeFaulty = Callable[[str, str], Path]
Pytest = Callable[..., subprocess.CompletedProcess[str]]

# Keeps what was measured beside the benchmarks; a look at the machine sees the process STRANGER
CONFTEST = """
import os, time
import psutil, pytest
from bench.machine import neighbours
from strangers import took

class Patient(neighbours.Look):
    def end(self):
        seen = took(psutil.Process(int(os.environ["STRANGER"])), 0.05)
        while not seen():
            time.sleep(0.01)
        return super().end()

if "STRANGER" in os.environ:
    neighbours.Look, neighbours.LEAST_CORES, neighbours.NAMED = Patient, 1e-4, 10_000

@pytest.fixture(autouse=True)
def keep(request):
    if "measured" in request.fixturenames:
        records = request.getfixturevalue("measured")
        with open("records.jsonl", "a") as file:
            file.writelines(record.to_json() + "\\n" for record in records)
"""


@pytest.fixture
def run_pytest(tmp_path: Path) -> Pytest:
    """Run pytest on the copy, with the options of the cells to measure and those of pytest."""
    folder = tmp_path / "copy"
    folder.mkdir()
    shutil.copy(CELLS, folder / "test_cells.py")
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_plain.py").write_text("def test_plain() -> None: pass\n")

    def run(cells: str, *options: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-p", "bench.pytest_plugin"),
                *("-p", "no:cacheprovider", "--rootdir=.", "-c/dev/null", "-rA", "-Werror"),
                *(f"--resnet-bench={cells}", *options),
            ],
            cwd=folder,
            env=OUTSIDE | {"PYTHONPATH": TOGETHER} | more,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


def options(*files: Path) -> str:
    names = " ".join(map(str, files))
    fixed = "--no-certify --steps 20 --replicates 1 --workload train --optimizer sgd"
    return f"{fixed} --impl {names}"


@pytest.fixture
def noted(faulty: MakeFaulty) -> Path:
    """The fake, which notes the mode of every worker that it runs in."""
    body = """
    def __init__(self, *arguments, mode, **options):
        with open(HERE / "modes", "a") as file:
            file.write(mode + " ")
        super().__init__(*arguments, mode=mode, **options)
    """
    return faulty("noted", body)


def test_every_block_is_a_round_and_every_result_extra_info(
    noted: Path, run_pytest: Pytest, stranger: psutil.Process, tmp_path: Path
) -> None:
    cells = options(noted) + " --mode eager graph --replicates 2"
    other = {"STRANGER": str(stranger.pid)}
    finished = run_pytest(cells, ONLY, "--benchmark-json=result.json", **other)
    assert finished.returncode == 0, finished.stdout
    [told] = [line for line in finished.stdout.splitlines() if "others use this machine" in line]
    assert f"(pid {stranger.pid}, " in told
    assert noted.with_name("modes").read_text().split().count("eager") == 2

    folder = tmp_path / "copy"
    rows = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    assert len(rows) == 4
    benchmarks = json.loads((folder / "result.json").read_text())["benchmarks"]
    assert len(benchmarks) == 2
    for benchmark in benchmarks:
        extra = benchmark["extra_info"]
        assert any(f"(pid {stranger.pid}, " in each for each in extra["neighbours"])
        ours = [row for row in rows if row["mode"] == extra["mode"]]
        blocks = [
            seconds / steps
            for row in ours
            for seconds, steps in zip(row["block_s"], row["block_steps"], strict=True)
        ]
        assert benchmark["stats"]["data"] == blocks
        assert benchmark["stats"]["rounds"] == len(blocks) == 2 * len(ours[0]["block_s"]) > 2
        for name in ("throughput_images_per_s", "host_peak_mib", "final_loss", "test_accuracy"):
            low, high = sorted(row[name] for row in ours)
            assert low <= extra[name] <= high
        assert benchmark["group"].endswith(" fp32 batch 32 sgd digits 20 steps")


def test_only_what_pytest_selects_is_measured(noted: Path, run_pytest: Pytest) -> None:
    finished = run_pytest(options(noted) + " --mode eager graph compiled", ONLY, "-k", "graph")
    assert finished.returncode == 0, finished.stdout
    assert "1 passed, 3 deselected" in finished.stdout
    assert noted.with_name("modes").read_text() == "graph "


def test_benchmarks_are_saved_and_compared_under_this_projects_own_settings(
    fake: Path, tmp_path: Path
) -> None:
    def run(cells: str) -> str:
        finished = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", f"-c{ROOT / 'pyproject.toml'}"),
                *(str(ROOT / "tests/benchmarks/test_cells.py"), "-p", "no:cacheprovider"),
                *(ONLY, f"--resnet-bench={cells}", "--benchmark-autosave", "--benchmark-compare"),
                *("--benchmark-cprofile=tottime", "--benchmark-histogram=plot"),
            ],
            cwd=tmp_path,
            env=OUTSIDE,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert finished.returncode == 0, finished.stdout + finished.stderr
        return finished.stdout + finished.stderr

    nothing_saved = run(options(fake))
    assert "Can't compare. No benchmark files" in nothing_saved
    assert "cProfile" in nothing_saved
    assert list(tmp_path.glob("plot-*.svg"))

    [saved] = tmp_path.rglob("0001_*.json")
    benchmarks = json.loads(saved.read_text())
    benchmarks["machine_info"]["node"] = "another machine"
    saved.write_text(json.dumps(benchmarks))
    all_skipped = run("--impl all --workload train --precision fp16 --device cpu")
    assert "Not saving anything, no benchmarks have been run!" in all_skipped
    compared = run(options(fake))
    assert "Benchmark machine_info is different" in compared
    assert "(NOW)" in compared
    assert "(0001_" in compared


def test_a_cell_that_fails_fails_its_test_with_its_reason(
    fake: Path, faulty: MakeFaulty, run_pytest: Pytest
) -> None:
    crash = faulty("crash", "def train(self, steps): raise RuntimeError('no such kernel')")
    finished = run_pytest(options(fake, crash), ONLY)
    assert finished.returncode == 1
    assert re.search(r"= 1 passed, 1 skipped, 1 error in", finished.stdout)
    assert "crashed: RuntimeError: no such kernel" in finished.stdout
    assert "Traceback" not in finished.stdout


def test_what_cannot_run_fails_where_it_was_named_and_is_skipped_by_all(
    run_pytest: Pytest,
) -> None:
    named = run_pytest("--impl torch_module --workload train --precision fp16 --device cpu", ONLY)
    assert named.returncode == 1
    assert "unsupported: fp16 is for GPUs" in named.stdout
    everything = run_pytest("--impl all --workload train --precision fp16 --device cpu", ONLY)
    assert everything.returncode == 0
    assert "unsupported: fp16 is for GPUs" in everything.stdout
    one = run_pytest("--impl all flax_nnx --workload train --precision fp16 --device cpu", ONLY)
    assert one.returncode == 1
    assert " 1 error in" in one.stdout


def test_plain_pytest_leaves_the_benchmarks_out_and_starts_no_worker(
    noted: Path, run_pytest: Pytest
) -> None:
    finished = run_pytest(options(noted))
    assert finished.returncode == 0, finished.stdout
    assert "1 passed, 1 deselected" in finished.stdout
    assert not noted.with_name("modes").exists()


@pytest.mark.parametrize(
    ("cells", "given"),
    [
        ("--impl nothing", "'nothing'"),
        ("--impl 'torch_module", "No closing quotation"),
        ("--impl torch_module --batch-size 9999", "9999"),
        ("--impl torch_module --resume somewhere", "--resume"),
        ("--impl torch_module --steps 1", "--steps 2 or more"),
        ("--impl torch_module --precision-target 1%", "--precision-target"),
    ],
)
def test_bad_options_give_one_clear_line(cells: str, given: str, run_pytest: Pytest) -> None:
    finished = run_pytest(f"--no-certify --profile smoke --workload train {cells}", ONLY)
    output = finished.stdout + finished.stderr
    assert finished.returncode in (2, 4)
    [line] = [line for line in output.splitlines() if "--resnet-bench: " in line]
    assert given in line
    assert "Traceback" not in output
    assert "INTERNALERROR" not in output
