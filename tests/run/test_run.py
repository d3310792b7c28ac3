"""`resnet-bench run` from end to end: real command lines, processes, signals and files."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from bench.records import Record
from bench.records.reading import read
from bench.reports.write import REPORTS

DRAWN = ("report.html", "ranking.svg")

MakeFaulty = Callable[[str, str], Path]
Run = Callable[..., subprocess.CompletedProcess[str]]
Eventually = Callable[[Callable[[], bool]], bool]
Survivors = Callable[[list[psutil.Process]], list[psutil.Process]]

# The fake is no ResNet, so no certificate is asked for
TRAIN = ("--no-certify", "--workload", "train", "--optimizer", "sgd", "--steps", 10, "--replicates")


@pytest.fixture(autouse=True)
def nothing_ignored() -> Iterator[None]:
    """Children begin as at a terminal; what nohup or a background job ignores, they would too."""
    endings = (signal.SIGINT, signal.SIGHUP)
    ignored = [each for each in endings if signal.getsignal(each) == signal.SIG_IGN]
    for each in ignored:
        signal.signal(each, signal.SIG_DFL)
    yield
    for each in ignored:
        signal.signal(each, signal.SIG_IGN)


def pairs(rows: list[Record]) -> list[tuple[str, int, int]]:
    return sorted((row.mode, row.batch_size, row.replicate) for row in rows)


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
    assert {(Path(r.implementation).stem, r.status, r.reason) for r in rows} == {
        ("fake_implementation", "ok", None),
        ("raises", "crashed", "RuntimeError: no kernel"),
        ("dies", "crashed", "exited with code 3 during its build"),
        ("greedy", "oom", "MemoryError: 8 GiB"),
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
    assert names == {"run.json", "records.jsonl", "logs", *REPORTS, *DRAWN}
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
    assert {path.name for path in out.iterdir()} == {"run.json", "records.jsonl", *REPORTS, *DRAWN}
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


@pytest.fixture
def hold(faulty: MakeFaulty) -> Path:
    """With batches of 64, says that it has come to its first block, and waits there."""
    body = """
    def place(self, images, labels):
        self.large, self.calls = images.shape[1] == 64, 0
        super().place(images, labels)

    def train(self, steps):
        self.calls += 1
        if self.large and self.calls == 3:
            (HERE / "holding").touch()
            while not (HERE / "go").exists():
                time.sleep(0.01)
        return super().train(steps)
    """
    return faulty("hold", body)


@contextmanager
def held_run(
    hold: Path, out: Path, eventually: Eventually
) -> Iterator[tuple[subprocess.Popen[str], list[psutil.Process]]]:
    """A run of 8 tasks that holds in its second cohort: two are done, two workers live."""
    with subprocess.Popen(
        [
            *(
                sys.executable,
                "-m",
                "bench",
                "run",
                "--impl",
                str(hold),
                "--mode",
                "eager",
                "graph",
            ),
            *("--batch-size", "32", "64", *map(str, TRAIN), "2", "--out", str(out)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as parent:
        try:
            assert eventually(hold.with_name("holding").exists)
            workers = psutil.Process(parent.pid).children()
            assert len(workers) == 2
            yield parent, workers
        finally:
            parent.kill()
            hold.with_name("go").touch()


ALL = [
    (mode, batch, index) for mode in ("eager", "graph") for batch in (32, 64) for index in (0, 1)
]


def test_a_killed_run_leaves_valid_records_and_no_workers_and_is_resumed(
    hold: Path, resnet_bench: Run, tmp_path: Path, eventually: Eventually, survivors: Survivors
) -> None:
    out = tmp_path / "run"
    with held_run(hold, out, eventually) as (parent, workers):
        parent.kill()
        parent.wait()
        # The one at work ends when it has nobody to report to, the suspended one at once
        hold.with_name("go").touch()
        assert not survivors(workers)
    records = out / "records.jsonl"
    done = records.read_bytes()
    assert pairs(read(out)) == [("eager", 32, 0), ("graph", 32, 0)]

    records.write_bytes(done + b'{"schema": 1, "cut off')
    finished = resnet_bench("run", "--resume", out)
    assert finished.returncode == 0
    assert "6 to measure" in finished.stdout
    assert records.read_bytes().startswith(done)
    assert pairs(read(out)) == sorted(ALL)
    assert {path.name for path in out.iterdir()} == {"run.json", "records.jsonl", *REPORTS, *DRAWN}

    before = records.read_bytes()
    assert resnet_bench("run", "--resume", out).returncode == 0
    assert records.read_bytes() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_ends_its_workers_reports_and_is_resumed(
    number: signal.Signals,
    hold: Path,
    resnet_bench: Run,
    tmp_path: Path,
    eventually: Eventually,
    survivors: Survivors,
) -> None:
    out = tmp_path / "run"
    with held_run(hold, out, eventually) as (parent, workers):
        parent.send_signal(number)
        _, stderr = parent.communicate(timeout=60)
        assert parent.returncode == 130
        assert not survivors(workers)
    assert len(stderr.splitlines()) == 1
    assert f"--resume {out}" in stderr
    assert {path.name for path in out.iterdir()} == {"run.json", "records.jsonl", *REPORTS, *DRAWN}
    assert pairs(read(out)) == [("eager", 32, 0), ("graph", 32, 0)]

    assert resnet_bench("run", "--resume", out).returncode == 0
    assert pairs(read(out)) == sorted(ALL)


def test_an_interrupt_before_anything_is_measured_is_no_traceback(
    fake: Path, tmp_path: Path, eventually: Eventually
) -> None:
    out = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, "-m", "bench", "run", "--impl", fake, "--out", out],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as parent:
        assert eventually(
            lambda: any("bench.data" in p.cmdline() for p in psutil.Process(parent.pid).children())
        )
        os.killpg(parent.pid, signal.SIGINT)  # as a terminal does, which knows no parent
        _, stderr = parent.communicate(timeout=60)
    assert parent.returncode == 130
    assert "Traceback" not in stderr
    assert not out.exists()


def test_a_resumed_run_may_have_lost_its_data(
    fake: Path, resnet_bench: Run, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    resnet_bench("run", "--impl", fake, *TRAIN, 1, "--out", out)
    (out / "records.jsonl").write_bytes(b"")
    run = json.loads((out / "run.json").read_text())
    run["options"] |= {"dataset": "cifar10", "data_dir": str(tmp_path / "gone")}
    (out / "run.json").write_text(json.dumps(run))
    finished = resnet_bench("run", "--resume", out)
    assert finished.returncode == 2
    assert finished.stderr.splitlines() == [
        f"resnet-bench: --data-dir {tmp_path / 'gone'}: there is no such folder"
    ]


def test_a_run_is_not_resumed_on_another_machine(
    fake: Path, resnet_bench: Run, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    resnet_bench("run", "--impl", fake, *TRAIN, 1, "--out", out)
    run = json.loads((out / "run.json").read_text())
    run["machine"] |= {"cpu": "Z80", "gpus": [{"name": "Voodoo", "memory_gib": 0.1}]}
    (out / "run.json").write_text(json.dumps(run))
    before = {path: path.read_bytes() for path in out.iterdir()}
    finished = resnet_bench("run", "--resume", out)
    assert finished.returncode == 2
    [line] = finished.stderr.splitlines()
    assert "CPU Z80, here " in line
    assert "GPUs Voodoo, here " in line
    assert {path: path.read_bytes() for path in out.iterdir()} == before


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
