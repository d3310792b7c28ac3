"""Runs that are killed or interrupted: what they leave behind, and how they are resumed."""

import json
import os
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

KEPT = ("run.json", "records.jsonl", "constraints.txt")
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
    endings = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    ignored = [each for each in endings if signal.getsignal(each) == signal.SIG_IGN]
    for each in ignored:
        signal.signal(each, signal.SIG_DFL)
    yield
    for each in ignored:
        signal.signal(each, signal.SIG_IGN)


def pairs(rows: list[Record]) -> list[tuple[str, int, int]]:
    return sorted((row.mode, row.batch_size, row.replicate) for row in rows)


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
            *(sys.executable, "-m", "bench", "run", "--impl", str(hold)),
            *("--mode", "eager", "graph"),
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
        refused = resnet_bench("run", "--resume", out)
        assert refused.returncode == 2
        assert "another process measures into it" in refused.stderr
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
    whole = {*KEPT, "SHA256SUMS", *REPORTS, *DRAWN}
    assert {path.name for path in out.iterdir()} == whole

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
        hold.with_name("go").touch()  # it lets the block end
        _, stderr = parent.communicate(timeout=60)
        assert parent.returncode == 130
        assert not survivors(workers)
    assert len(stderr.splitlines()) == 1
    assert f"--resume {out}" in stderr
    assert {path.name for path in out.iterdir()} == {*KEPT, *REPORTS, *DRAWN}
    assert pairs(read(out)) == [("eager", 32, 0), ("graph", 32, 0)]

    if number == signal.SIGINT:  # the others leave the same
        assert resnet_bench("run", "--resume", out).returncode == 0
        assert pairs(read(out)) == sorted(ALL)


def test_a_second_interrupt_waits_for_no_block_and_no_report(
    hold: Path, tmp_path: Path, eventually: Eventually, survivors: Survivors
) -> None:
    out = tmp_path / "run"
    with held_run(hold, out, eventually) as (parent, workers):
        caught = f"{parent.pid}: the first is not to be merged with the second"
        parent.send_signal(signal.SIGINT)
        assert eventually(lambda: not pending(parent.pid)), caught
        parent.send_signal(signal.SIGTERM)
        _, stderr = parent.communicate(timeout=60)
        assert parent.returncode == 130
        assert not survivors(workers)
    [line] = stderr.splitlines()
    assert line.startswith("interrupted after 2 records; continue with: ")
    assert {path.name for path in out.iterdir()} == {*KEPT, "logs"}
    assert pairs(read(out)) == [("eager", 32, 0), ("graph", 32, 0)]


def pending(pid: int) -> bool:
    """Whether a signal waits to be delivered to a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return any(int(line.split()[1], 16) for line in status.splitlines() if "Pnd" in line)


def test_a_stop_leaves_no_trace_in_the_figures(
    hold: Path, tmp_path: Path, eventually: Eventually
) -> None:
    out = tmp_path / "run"
    with held_run(hold, out, eventually) as (parent, _):
        stopped = psutil.Process(parent.pid)
        parent.send_signal(signal.SIGSTOP)
        assert eventually(lambda: stopped.status() == psutil.STATUS_STOPPED)
        parent.send_signal(signal.SIGCONT)
        hold.with_name("go").touch()
        _, stderr = parent.communicate(timeout=60)
        assert (parent.returncode, stderr) == (0, "")
    rows = read(out)
    assert pairs(rows) == sorted(ALL)
    for row in rows:
        touched = row.batch_size == 64 and row.replicate == 0
        assert ("1 block left out" in (row.reason or "")) == touched
        assert (sum(row.block_steps) < 10 - 1 - 2) == touched
        assert len(row.losses) == 10


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
        reader = "bench.data.sharing"
        assert eventually(
            lambda: any(
                reader in (p.info["cmdline"] or ()) and p.ppid() == parent.pid
                for p in psutil.process_iter(["cmdline"])
            )
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
