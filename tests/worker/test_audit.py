"""Cells whose times are fiction: each is told from those that are not, by real workers."""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from bench.cells import Cell
from bench.identity.certificate import Certificate, Half
from bench.parent.child import Child
from bench.parent.outcome import Outcome
from bench.parent.schedule import Schedule
from bench.parent.suspension import LOOK_S, Suspension
from bench.records import Run
from bench.run.record import record
from bench.validation import convert, plain
from bench.worker.audit import work_left
from bench.worker.protocol import Block, Build, Finish, WarmUp
from builders import run

MakeCell = Callable[..., Cell]
MakeFaulty = Callable[[str, str], Path]
Measure = Callable[..., list[Outcome]]

QUEUE = """
from concurrent.futures import ThreadPoolExecutor
queue = ThreadPoolExecutor(max_workers=1)

def work(self, steps): return time.sleep(0.02 * steps)

def weights(self): return self.queue.submit(super().weights).result()

def predict(self, images): return self.queue.submit(super().predict, images).result()
"""
FAULTS = {
    "trains_later": (
        QUEUE
        + """
def train(self, steps):
    self.queue.submit(self.work, steps)
    return super().train(steps)
""",
        "train",
        "of its work still to do: have it wait until the device is idle",
    ),
    "infers_later": (
        QUEUE
        + """
def infer(self, steps):
    self.queue.submit(self.work, steps)
    return super().infer(steps)
""",
        "infer",
        "of its work still to do: have it wait until the device is idle",
    ),
    "infers_once": (
        """
from functools import cache

@cache
def infer(self, steps): return super().infer(1)
""",
        "infer",
        "off those of predict: have it compute the batch that was placed",
    ),
    "learns_nothing": (
        "def step(self, *batch): before = self.weights(); loss = super().step(*batch); "
        "self.tensors = before; return loss",
        "train",
        "training left all parameters unchanged: have train update every parameter",
    ),
    "freezes_a_tensor": (
        "def step(self, *batch): before = self.weights(); loss = super().step(*batch); "
        "self.tensors['head.bias'] = before['head.bias']; return loss",
        "train",
        "training left head.bias unchanged: have train update every parameter",
    ),
    "skips_a_step": (
        "def settings(self): return {'skipped_steps': '1'}",
        "train",
        "loss scaling skipped 1 step, which cost less and taught nothing: have it begin with a",
    ),
}


@pytest.fixture
def measure(digits: Path, tmp_path: Path) -> Measure:
    """The outcomes of cells that a schedule measures, in their order."""

    def outcomes(*cells: Cell) -> list[Outcome]:
        (tmp_path / "logs").mkdir()
        schedule = Schedule(dict.fromkeys(cells, digits), tmp_path / "logs", 60, seed=0)
        found = {cell: outcome for (cell, _), outcome in schedule.run([(c, 0) for c in cells])}
        return [found[cell] for cell in cells]

    return outcomes


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_leaves_its_cell_uncertified_and_says_why(
    name: str, measure: Measure, make_cell: MakeCell, faulty: MakeFaulty
) -> None:
    body, workload, reason = FAULTS[name]
    [outcome] = measure(make_cell(faulty(name, body), workload=workload))
    assert outcome.status == "uncertified"
    assert reason in str(outcome.reason)
    assert outcome.blocks  # what was measured is kept


def test_inference_without_logits_is_a_crash(
    measure: Measure, make_cell: MakeCell, faulty: MakeFaulty
) -> None:
    mute = faulty("mute", "def infer(self, steps): super().infer(steps)")
    [outcome] = measure(make_cell(mute, workload="infer"))
    assert outcome.status == "crashed"
    assert outcome.reason == "ValueError: infer returned no finite logits (shape ())"


@pytest.mark.parametrize("workload", ["train", "infer"])
def test_whoever_waits_is_not_accused(
    workload: str, measure: Measure, make_cell: MakeCell, faulty: MakeFaulty
) -> None:
    """Weights and logits that take a while to read are no work left over."""
    slow = faulty(
        "reads_slowly",
        """
        def weights(self): time.sleep(0.03); return super().weights()

        def predict(self, images): time.sleep(0.03); return super().predict(images)
        """,
    )
    outcomes = measure(make_cell(workload=workload), make_cell(slow, workload=workload))
    assert [outcome.status for outcome in outcomes] == ["ok", "ok"]
    ends = [outcome.finished for outcome in outcomes]
    assert [end and end.compilations_while_timed for end in ends] == [None, None]


def test_work_left_is_told_by_what_has_to_wait_for_it() -> None:
    with ThreadPoolExecutor(max_workers=1) as queue:

        def wait() -> None:
            queue.submit(int).result()

        left = work_left(partial(queue.submit, time.sleep, 0.05), wait)
    assert left is not None
    assert left > 0.5
    assert work_left(partial(time.sleep, 0.01), int) is None


COMPILING = {
    "torch": """
    import torch
    double = staticmethod(torch.compile(lambda x: x + x, backend="eager", dynamic=False))

    def step(self, *batch):
        self.double(self.torch.zeros(self.count()))
        return super().step(*batch)
    """,
    "jax": """
    import jax
    double = staticmethod(jax.jit(lambda x: x + x))

    def step(self, *batch):
        self.double(np.zeros(self.count(), np.float32))
        return super().step(*batch)
    """,
    "tensorflow": """
    import tensorflow as tf
    double = staticmethod(tf.function(lambda x: x + x))

    def step(self, *batch):
        self.double(self.tf.constant(0., shape=[self.count()]))
        return super().step(*batch)
    """,
}


@pytest.mark.parametrize("framework", COMPILING)
def test_only_what_is_compiled_in_timed_blocks_counts(
    framework: str, start_child: Callable[..., tuple[Child, Build]], faulty: MakeFaulty
) -> None:
    count = """
    steps = 0

    def count(self):
        self.steps += 1
        return 1 if self.steps <= 4 else 2
    """
    child, build = start_child(faulty(f"compiles_{framework}", COMPILING[framework] + count))
    child.ask(build, 120)
    child.ask(WarmUp(steps=2), 60)
    child.ask(Block(steps=5), 60)
    assert child.ask(Finish(), 60).compilations_while_timed == 1


def test_offspring_that_computes_while_its_worker_is_suspended_is_caught(
    measure: Measure, make_cell: MakeCell, faulty: MakeFaulty
) -> None:
    restless = faulty(
        "restless",
        """
        def place(self, images, labels):
            program = "import os\\nparent = os.getppid()\\nwhile os.getppid() == parent: pass"
            subprocess.Popen([sys.executable, "-c", program], start_new_session=True)
            super().place(images, labels)
        """,
    )
    patient = faulty(
        "patient", "def train(self, steps): time.sleep(0.05 * steps); return super().train(steps)"
    )
    accused, beside = measure(make_cell(restless, steps=40), make_cell(patient, steps=40))
    assert accused.status == "uncertified"
    assert "s that it was suspended" in str(accused.reason)
    assert beside.status == "ok"


def spawn(program: str, processes: list[subprocess.Popen[bytes]]) -> Suspension:
    processes.append(subprocess.Popen([sys.executable, "-c", program]))
    return Suspension(processes[-1].pid)


def watch(suspension: Suspension, seconds: Sequence[float]) -> str | None:
    for each in seconds:
        suspension.begin()
        time.sleep(each)
        suspension.end()
    return suspension.fault


def test_who_sleeps_or_has_ended_does_not_compute() -> None:
    processes: list[subprocess.Popen[bytes]] = []
    asleep = spawn("import time; time.sleep(60)", processes)
    ended = spawn("pass", processes)
    processes[-1].wait()
    try:
        time.sleep(LOOK_S)  # Python has started
        assert watch(asleep, [0.1] * 3) is None
        assert watch(ended, [0.01] * 3) is None
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_a_failed_certificate_adds_to_what_the_audit_says(make_cell: MakeCell) -> None:
    passed = Half(checks=(("gradients", 1e-6, 1e-5),))
    failed = Half(checks=(("gradients", 1.0, 1e-5),))
    row = record(
        (make_cell(), 0),
        Outcome("uncertified", "too early"),
        Certificate(passed, failed),
        convert(plain(run()), Run),
    )
    assert row.status == "uncertified"
    assert row.reason == "too early; timed: failed: gradients off by 100.0% (limit 1e-05)"


NOTES = """
def place(self, images, labels):
    with (HERE / "shapes").open("a") as file:
        print(*images.shape[:2], *labels.shape, file=file)
    super().place(images, labels)
"""


def test_inference_of_more_images_than_there_are_to_test_is_given_as_many_labels(
    measure: Measure, make_cell: MakeCell, faulty: MakeFaulty
) -> None:
    path = faulty("notes", NOTES)
    [outcome] = measure(make_cell(path, workload="infer", batch_size=512))  # of 360 to test
    assert (outcome.status, outcome.reason) == ("ok", None)
    assert path.with_name("shapes").read_text().splitlines() == ["2 512 2 512", "1 512 1 512"]
