"""A real worker process as its parent sees it: started, suspended, resumed, ended."""

import json
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.cells import Cell
from bench.parent.child import Child, Failure
from bench.worker.environment import Environment
from bench.worker.protocol import Block, Build, WarmUp, WorkerRequest

MakeCell = Callable[..., Cell]
MakeFaulty = Callable[[str, str], Path]
StartChild = Callable[..., tuple[Child, Build]]
AskAll = Callable[..., Any]
Eventually = Callable[[Callable[[], bool]], bool]
Survivors = Callable[[list[psutil.Process]], list[psutil.Process]]


def test_a_worker_answers_every_request_and_learns(
    start_child: StartChild, ask_all: AskAll, fake: Path
) -> None:
    answers = ask_all(start_child(fake, steps=100))
    finished = answers.finished
    assert len(answers.latency.latency_ms) == 2
    assert len(finished.losses) == 100
    assert finished.losses[-1] == finished.final_loss < 0.3 * finished.losses[0]
    assert 0.9 < finished.test_accuracy < 1


def test_an_answer_that_is_there_when_the_time_is_up_counts(
    start_child: StartChild, fake: Path
) -> None:
    child, build = start_child(fake)
    child.begin(build)
    select.select([child.channel.connection], [], [], 60)
    assert child.answer(build, 0).build_s > 0


def test_a_worker_is_suspended_between_requests_and_resumed_for_one(
    start_child: StartChild, faulty: MakeFaulty, eventually: Eventually
) -> None:
    path = faulty(
        "note_status",
        """
        def train(self, steps):
            with open("/proc/self/stat") as file:
                (HERE / "status").write_text(file.read().split()[2])
            return super().train(steps)
        """,
    )
    child, build = start_child(path)
    worker = psutil.Process(child.process.pid)
    requests: tuple[WorkerRequest[Any], ...] = (build, WarmUp(steps=2), Block(steps=7))
    for request in requests:
        child.ask(request, 60)
        assert eventually(lambda: worker.status() == psutil.STATUS_STOPPED)
    assert path.with_name("status").read_text() == "R"


def test_compilers_find_nothing_that_another_process_left(
    start_child: StartChild, faulty: MakeFaulty
) -> None:
    path = faulty(
        "remember",
        """
        def place(self, images, labels):
            for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
                folder = Path(os.environ[name])
                folder.mkdir(exist_ok=True)
                assert not [file for file in folder.iterdir() if file.is_file()]
                (folder / "kernel").write_text("")
            super().place(images, labels)
        """,
    )
    children = [start_child(path) for _ in range(2)]
    for child, build in children:
        child.ask(build, 60)
        assert (child.temporary.path / "kernel").exists()
        child.end()
        assert not child.temporary.path.exists()


def test_the_end_of_a_worker_is_the_end_of_what_it_started(
    start_child: StartChild, faulty: MakeFaulty, eventually: Eventually, survivors: Survivors
) -> None:
    path = faulty(
        "spawn",
        """
        def place(self, images, labels):
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            super().place(images, labels)
        """,
    )
    child, build = start_child(path)
    child.ask(build, 60)
    worker = psutil.Process(child.process.pid)
    group = [worker, *worker.children()]
    assert len(group) == 2
    assert eventually(lambda: all(p.status() == psutil.STATUS_STOPPED for p in group))
    child.end()
    assert not survivors(group)
    child.end()


def test_no_worker_outlives_a_killed_parent(
    make_cell: MakeCell, digits: Path, tmp_path: Path, survivors: Survivors
) -> None:
    program = """
import json, sys, time
from pathlib import Path
from bench.cells import Cell
from bench.parent.child import Child
from bench.worker.environment import Environment
from bench.worker.protocol import Build
cell, data, log = Cell(**json.loads(sys.argv[1])), sys.argv[2], Path(sys.argv[3])
children = [Child(Environment.of(cell), log) for _ in range(2)]
for child in children:
    child.ask(Build(cell=cell, data_folder=data), 60)
print("suspended", flush=True)
time.sleep(600)
"""
    cell = json.dumps(make_cell().as_dict())
    with subprocess.Popen(
        [sys.executable, "-c", program, cell, str(digits), str(tmp_path / "log")],
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == b"suspended\n"
        workers = psutil.Process(parent.pid).children()
        parent.kill()
    assert len(workers) == 2
    assert not survivors(workers)


def test_what_a_worker_prints_is_its_log_and_blocks_nothing(
    start_child: StartChild, ask_all: AskAll, faulty: MakeFaulty, tmp_path: Path
) -> None:
    path = faulty(
        "chatter",
        """
        def train(self, steps):
            print("o" * 3_000_000)
            print("e" * 3_000_000, file=sys.stderr)
            os.write(1, b'{"block_s": 1.0}')
            return super().train(steps)
        """,
    )
    assert len(ask_all(start_child(path)).finished.losses) == 10
    log = (tmp_path / "log").read_bytes()
    assert log.startswith(b"o" * 2**20)
    assert log.endswith(b'e\n{"block_s": 1.0}')
    assert b" bytes left out]" in log
    assert len(log) < 2**22


def test_a_traceback_goes_to_the_log(
    start_child: StartChild, ask_all: AskAll, faulty: MakeFaulty, tmp_path: Path
) -> None:
    with pytest.raises(Failure):
        ask_all(
            start_child(faulty("raises", "def train(self, steps): raise RuntimeError('kernel')"))
        )
    log = (tmp_path / "log").read_text()
    assert log.startswith("Traceback")
    assert log.endswith("RuntimeError: kernel\n")


def test_a_worker_on_the_cpu_sees_no_gpu(make_cell: MakeCell) -> None:
    settings = Environment.of(make_cell(device="cpu")).variables()
    assert settings["CUDA_VISIBLE_DEVICES"] == ""
    assert settings["JAX_PLATFORMS"] == "cpu"


def test_a_worker_takes_one_gpu_and_memory_as_needed(
    make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = make_cell(device="cuda", implementation="keras_functional", backend="jax")
    environment = Environment.of(cell)
    assert Environment.of(cell.executable) == environment
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert environment.variables()["CUDA_VISIBLE_DEVICES"] == "2"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    settings = environment.variables()
    assert settings["CUDA_VISIBLE_DEVICES"] == "0"
    assert settings["KERAS_BACKEND"] == "jax"
    assert settings["JAX_PLATFORMS"] == "cuda"
    assert settings["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
    assert settings["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"


def test_the_backend_of_keras_is_left_to_the_author_of_a_file(make_cell: MakeCell) -> None:
    assert "KERAS_BACKEND" not in Environment.of(make_cell()).variables()


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_fp32_alone_forbids_rounding_to_tf32(device: str) -> None:
    strict = {"NVIDIA_TF32_OVERRIDE": "0", "JAX_DEFAULT_MATMUL_PRECISION": "highest"}
    assert Environment(device, "fp32").variables().items() >= strict.items()
    for precision in ("tf32", "bf16", "fp16"):
        assert not Environment(device, precision).variables().keys() & strict.keys()
