"""Workers in every kind of trouble: each has a status, and a reason that a person can use."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.cells import Cell
from bench.parent.child import Child, Failure
from bench.worker.protocol import Build, WarmUp

MakeCell = Callable[..., Cell]
MakeFaulty = Callable[[str, str], Path]
StartChild = Callable[..., tuple[Child, Build]]
AskAll = Callable[..., Any]

FAULTS = {
    "raises": (
        "def train(self, steps): raise RuntimeError('kernel failed\\nsecond line')",
        ("crashed", "RuntimeError: kernel failed"),
    ),
    "exits": ("def train(self, steps): sys.exit(4)", ("crashed", "SystemExit: 4")),
    "exits_at_once": (
        "def train(self, steps): os._exit(3)",
        ("crashed", "exited with code 3 during its warm_up"),
    ),
    "says_why_it_ends": (
        "def train(self, steps): print('F1129 02:31:46.0 313 a.cc:2] No flag --a'); os._exit(1)",
        ("crashed", "exited with code 1 during its warm_up: No flag --a"),
    ),
    "segfaults": (
        "def train(self, steps): ctypes.string_at(0)",
        ("crashed", "killed by SIGSEGV during its warm_up"),
    ),
    "is_killed": (
        "def train(self, steps): os.kill(os.getpid(), signal.SIGKILL)",
        (
            "crashed",
            "killed by SIGKILL (the kernel does this where memory runs out) during its warm_up",
        ),
    ),
    "hangs": (
        "def train(self, steps): time.sleep(600)",
        ("timeout", "its warm_up did not end within 2 s"),
    ),
    "stops_itself": (
        "def train(self, steps): os.kill(os.getpid(), signal.SIGSTOP)",
        ("timeout", "its warm_up did not end within 2 s"),
    ),
    "hangs_in_predict": (
        "def predict(self, images): time.sleep(600)",
        ("timeout", "its finish did not end within 2 s"),
    ),
    "has_no_memory": ("def train(self, steps): raise MemoryError", ("oom", "MemoryError")),
    "has_no_device_memory": (
        "def train(self, steps): raise RuntimeError('CUDA out of memory: tried 2 GiB')",
        ("oom", "RuntimeError: CUDA out of memory: tried 2 GiB"),
    ),
    "says_half_a_character": (
        "def train(self, steps): raise RuntimeError('no \\ud800 file')",
        ("crashed", "RuntimeError: no ? file"),
    ),
    "lacks_a_package": (
        "import no_such_framework",
        ("unavailable", "No module named 'no_such_framework'"),
    ),
    "lacks_a_feature": (
        "def place(self, images, labels): raise NotImplementedError('no batches')",
        ("unsupported", "no batches"),
    ),
    "loses_its_mind": (
        "def train(self, steps): return super().train(steps) * np.float32('nan')",
        ("crashed", "ValueError: the training loss became nan at step 1"),
    ),
    "returns_no_losses": ("def train(self, steps): super().train(steps)", ("crashed", "loss")),
    "returns_too_few_losses": (
        "def train(self, steps): return super().train(steps)[:1]",
        ("crashed", "loss"),
    ),
    "returns_too_many_losses": (
        "def train(self, steps): return np.tile(super().train(steps), 2)",
        ("crashed", "loss"),
    ),
    "returns_words": ("def train(self, steps): return ['low'] * steps", ("crashed", "ValueError")),
    "predicts_a_scalar": (
        "def predict(self, images): return 3",
        ("crashed", "ValueError: predict returned no finite logits (shape ())"),
    ),
    "predicts_nan": (
        "def predict(self, images): return super().predict(images) * np.float32('nan')",
        ("crashed", "ValueError: predict returned no finite logits (shape (64, 10))"),
    ),
    "writes_words": (
        "def train(self, steps): os.write(int(sys.argv[1]), b'hello\\n')",
        ("crashed", "answered its warm_up with garbage"),
    ),
    "writes_bytes": (
        "def train(self, steps): os.write(int(sys.argv[1]), b'\\xff\\xfe\\n')",
        ("crashed", "answered its warm_up with garbage"),
    ),
    "writes_nested_lists": (
        "def train(self, steps): os.write(int(sys.argv[1]), b'[' * 60_000 + b'\\n')",
        ("crashed", "answered its warm_up with garbage"),
    ),
    "writes_an_impossible_time": (
        """
        def train(self, steps):
            line = {"answer": "warmed_up", "first_step_s": -1, "warmup_s": 1, "host_mib": 1}
            os.write(int(sys.argv[1]), json.dumps(line | {"settings": {}}).encode() + b'\\n')
        """,
        ("crashed", "answered its warm_up with garbage: first_step_s: Expected float"),
    ),
    "writes_a_false_answer": (
        "def train(self, steps): os.write(int(sys.argv[1]), b'{\"first_step_s\": -1}\\n')",
        ("crashed", "answered its warm_up with garbage: Object missing required field answer"),
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_has_a_status_and_a_reason_in_one_line(
    name: str, start_child: StartChild, ask_all: AskAll, faulty: MakeFaulty
) -> None:
    body, (status, reason) = FAULTS[name]
    started = start_child(faulty(name, body))
    with pytest.raises(Failure) as caught:
        ask_all(started, timeout_s=2 if status == "timeout" else 60)
    assert caught.value.status == status
    assert reason in caught.value.reason
    assert len(caught.value.reason.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("class Misnamed: pass", "has no attribute 'Implementation'"),
        ("class Implementation", "SyntaxError: "),
        ("class Implementation: pass", "TypeError: "),
    ],
)
def test_a_file_that_is_no_implementation_is_said_to_be_none(
    text: str, reason: str, start_child: StartChild, ask_all: AskAll, tmp_path: Path
) -> None:
    path = tmp_path / "mistaken.py"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(Failure) as caught:
        ask_all(start_child(path))
    assert caught.value.status == "crashed"
    assert reason in caught.value.reason


def test_a_file_may_have_the_name_of_a_module_that_the_worker_has_imported(
    start_child: StartChild, ask_all: AskAll, faulty: MakeFaulty
) -> None:
    assert len(ask_all(start_child(faulty("platform", "pass"))).finished.losses) == 10


def test_a_worker_that_closes_its_channel_and_lives_on_has_crashed(
    make_cell: MakeCell, faulty: MakeFaulty, digits: Path, tmp_path: Path
) -> None:
    # In a process of its own, which alone can be given up should it wait for ever
    program = """
import json, sys
from pathlib import Path
from bench.cells import Cell
from bench.parent.child import Child, Failure
from bench.worker.environment import Environment
from bench.worker.protocol import Build, WarmUp
cell = Cell(**json.loads(sys.argv[1]))
child = Child(Environment.of(cell), Path(sys.argv[3]))
child.ask(Build(cell=cell, data_folder=sys.argv[2]), 60)
try:
    child.ask(WarmUp(steps=2), 2)
except Failure as failure:
    print(failure.status)
finally:
    child.end()
"""
    path = faulty(
        "hangs_up",
        "def train(self, steps): os.close(int(sys.argv[1])), time.sleep(600)",
    )
    cell = json.dumps(make_cell(path).as_dict())
    finished = subprocess.run(
        [sys.executable, "-c", program, cell, str(digits), str(tmp_path / "log")],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert finished.stdout == "crashed\n"


def test_a_worker_dies_even_where_its_offspring_holds_the_channel(
    start_child: StartChild, ask_all: AskAll, faulty: MakeFaulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.parent.child.LIFE_SIGN_S", 0.1)
    body = "def train(self, steps): time.sleep(600) if os.fork() == 0 else os._exit(3)"
    with pytest.raises(Failure, match="exited with code 3 during its warm_up"):
        ask_all(start_child(faulty("fork", body)))


def test_a_worker_killed_between_requests_has_crashed(start_child: StartChild, fake: Path) -> None:
    child, build = start_child(fake)
    child.ask(build, 60)
    os.kill(child.process.pid, signal.SIGKILL)
    child.process.wait()
    with pytest.raises(Failure, match="killed by SIGKILL"):
        child.ask(WarmUp(steps=2), 60)
