"""Whatever a worker answers becomes a row of its own: never an end of the run, nor of a rival.

The run is the real one, from the request to the folder; only its workers are puppets, which send
over a real socket what hypothesis thinks of.
"""

import json
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.analysis.ranking import contests_of
from bench.cells import Cell
from bench.cli.display import Display
from bench.cli.terminal import Terminal
from bench.machine import control_groups
from bench.machine.facts import this_machine
from bench.parent import child, schedule
from bench.parent.compile_caches import CompileCaches
from bench.parent.suspension import Suspension
from bench.plan.estimate import Estimator, Here
from bench.plan.observed import observed
from bench.records import Run
from bench.records.folder import RunFolder
from bench.request.request import Request
from bench.run.going_on import _measure
from bench.run.stopping import Round
from bench.worker.channel import Channel
from bench.worker.protocol import WorkerRequest

GOOD: dict[str, dict[str, Any]] = {
    "build": {
        "answer": "built",
        "import_s": 1.0,
        "build_s": 1.0,
        "host_baseline_mib": 100.0,
        "gflop_per_image": 0.1,
        "weights_sha256": "a" * 64,
        "data_sha256": "b" * 64,
        "drawn_seed": 0,
        "versions": {"numpy": "2"},
    },
    "warm_up": {
        "answer": "warmed_up",
        "first_step_s": 1.0,
        "warmup_s": 1.0,
        "warmup_steps": 2,
        "step_s": 0.05,
        "host_mib": 100.0,
        "settings": {"jit": "none"},
    },
    "block": {
        "answer": "block_timed",
        "block_s": 0.5,
        "cpu_s": 0.5,
        "host_mib": 100.0,
        "device_mib": None,
        "wait_s": 0.1,
        "place_s": 0.1,
        "left_s": 0.0,
    },
    "finish": {
        "answer": "finished",
        "host_peak_mib": 100.0,
        "device_peak_mib": None,
        "device_reserved_mib": None,
        "device_program_mib": None,
        "compilations_while_timed": 0,
        "losses": [2.0] * 20,
        "final_loss": 2.0,
        "test_accuracy": 0.9,
        "data_sha256": None,
    },
    "latency": {"answer": "steps_timed", "latency_ms": [5.0, 6.0]},
    "audit": {"answer": "audited", "faults": []},
}
EDGES = (0, -1, 5e-324, 1e-16, 1.1e-15, 9e14, 1e15, 1e16, 1e300, 2**63 - 1, 2**63, 10**400)
KEYS = sorted({key for answer in GOOD.values() for key in answer} | {"status", "reason", "speed"})
numbers = st.sampled_from(EDGES) | st.floats() | st.integers()
values = st.recursive(
    numbers | st.text() | st.none() | st.booleans() | st.sampled_from(["\ud800", "\x1b[31m"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
changes = st.dictionaries(st.sampled_from(KEYS), values | st.just(...), max_size=3)  # ...: no key
lines = st.one_of(
    st.tuples(st.just("changed"), changes),
    st.tuples(st.just("changed"), changes),
    st.tuples(st.just("answer of"), st.sampled_from(sorted(GOOD))),
    st.tuples(st.just("raw"), st.binary(max_size=80)),
    st.tuples(st.just("twice"), st.none()),
    st.tuples(st.just("hang up"), st.none()),
)
answers = st.dictionaries(st.sampled_from(sorted(GOOD)), lines, min_size=1, max_size=3)
WORKERS = 8
cohorts = st.lists(answers, min_size=WORKERS, max_size=WORKERS)


def line(request: str, kind: str, what: Any) -> bytes:
    """What a puppet sends for a request."""
    good = GOOD[what if kind == "answer of" else request]
    if kind == "changed":
        good = {key: value for key, value in (good | what).items() if value is not ...}
    sent = what if kind == "raw" else json.dumps(good).encode()
    return (sent + b"\n") * (2 if kind == "twice" else 1)


class Puppet(child.Child):
    """A worker without a process of its own: the code of the parent and its socket are real."""

    process: "subprocess.Popen[bytes]"  # one for all puppets, which only sleeps

    def __init__(self, said: dict[str, tuple[str, Any]], log: Path) -> None:
        ours, self.theirs = socket.socketpair()
        self.said, self.log, self.limited, self.ended = said, log, False, False
        self.device, self.oom_kills = "cpu", control_groups.oom_kills()
        self.channel = Channel(ours)
        self.suspension = Suspension(self.process.pid)

    def begin(self, request: WorkerRequest[Any]) -> None:
        super().begin(request)
        kind, what = self.said.get(request.name, ("good", None))
        if kind == "hang up":
            self.theirs.close()
        elif self.theirs.fileno() >= 0:
            self.theirs.sendall(line(request.name, kind, what))

    def end(self) -> None:
        self.channel.close()
        self.theirs.close()

    def _death(self) -> str:
        return "exited with code 0"

    def _signal(self, number: int) -> None:
        pass


@pytest.fixture(scope="module")
def asleep() -> Iterator[None]:
    with subprocess.Popen(["sleep", "600"]) as Puppet.process:
        yield
        Puppet.process.kill()


@pytest.fixture
def answered(
    asleep: None, make_cell: Callable[..., Cell], fake: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Measure workers with such answers beside one whose answers are good."""
    bad = [Path(shutil.copy(fake, fake.with_name(f"bad{n}.py"))) for n in range(WORKERS)]
    run = Run(run_id="run", command="", options=Request(replicates=1), machine=this_machine())

    def measured(workload: str, said: list[dict[str, tuple[str, Any]]]) -> None:
        optimizer = {"optimizer": None, "recipe": None} if workload == "infer" else {}
        tasks = [
            (make_cell(path, workload=workload, steps=20, **optimizer), 0) for path in (fake, *bad)
        ]
        by_name = {path.stem: answers for path, answers in zip(bad, said, strict=True)}
        monkeypatch.setattr(
            schedule,
            "Child",
            lambda _, log, compiled: Puppet(by_name.get(log.name.partition("-")[0], {}), log),
        )
        known = Estimator(Here(run.machine.machine, {"cpu": run.machine.cpu}, {}), [], [])
        with tempfile.TemporaryDirectory() as name, Path(name, "screen").open("w") as screen:
            console = Terminal(file=screen)
            folder = RunFolder.create(Path(name, "run"), run)
            _measure(
                folder,
                Round(tasks),
                dict.fromkeys((cell for cell, _ in tasks), Path(name)),
                {},
                5.0,
                lambda shown, folder, known: Display(shown, console, folder, known),
                known,
                CompileCaches(),
            )
            rows = {Path(row.implementation).stem: row for row in folder.records()}
            observed(rows.values(), [run])
            contests_of(rows.values(), [run])
        good = rows.pop("fake_implementation")
        assert (good.status, good.reason) == ("ok", None)
        assert rows.keys() == by_name.keys()
        for name, row in rows.items():
            if garbled(by_name[name]):
                assert row.status == "crashed"
            assert row.status == "ok" or row.reason

    return measured


def garbled(said: dict[str, tuple[str, Any]]) -> bool:
    """Whether answers hold what is none, whatever its numbers are."""
    return any(kind in ("twice", "hang up", "raw") for kind, _ in said.values()) or any(
        kind == "answer of" and what != name for name, (kind, what) in said.items()
    )


def fuzz(examples: int) -> Callable[..., Any]:
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=examples < 1000,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@fuzz(12)
@given(workload=st.sampled_from(["train", "infer"]), said=cohorts)
def test_any_answer_becomes_a_row(
    answered: Callable[..., None], workload: str, said: list[dict[str, tuple[str, Any]]]
) -> None:
    answered(workload, said)


@pytest.mark.long
@fuzz(2_500)  # of WORKERS each
@given(workload=st.sampled_from(["train", "infer"]), said=cohorts)
def test_each_of_many_answers_becomes_a_row(
    answered: Callable[..., None], workload: str, said: list[dict[str, tuple[str, Any]]]
) -> None:
    answered(workload, said)
