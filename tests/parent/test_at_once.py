"""Several workers asked one thing each: all answer, whatever becomes of the others."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from bench.cells import Cell
from bench.parent.at_once import answers
from bench.parent.child import Failure
from bench.worker.environment import Environment
from bench.worker.protocol import Describe, Described

MakeCell = Callable[..., Cell]
MakeFaulty = Callable[[str, str], Path]
Asked = dict[str, tuple[Environment, Describe]]
HANGS = "def __init__(self, *a, **k): time.sleep(600)"


@pytest.fixture
def ask(make_cell: MakeCell, faulty: MakeFaulty) -> Callable[..., Asked]:
    def ask(**bodies: str) -> Asked:
        found = {}
        for name, body in bodies.items():
            executable = make_cell(faulty(name, body)).executable
            found[name] = Environment.of(executable), Describe(executable=executable)
        return found

    return ask


def workers() -> list[psutil.Process]:
    return psutil.Process().children()


def test_each_answers_or_fails_for_itself(ask: Callable[..., Asked]) -> None:
    asked = ask(
        good="pass",
        raises="def __init__(self, *a, **k): raise ValueError('no')",
        dies="def __init__(self, *a, **k): os.kill(os.getpid(), signal.SIGSEGV)",
        hangs=HANGS,
        last="pass",
    )
    found = dict(answers(asked, timeout_s=8))
    assert found.keys() == asked.keys()
    assert isinstance(found["good"], Described)
    assert isinstance(found["last"], Described)
    reasons = {name: str(each) for name, each in found.items() if isinstance(each, Failure)}
    assert reasons["raises"] == "ValueError: no"
    assert reasons["dies"].startswith("killed by SIGSEGV during its describe")
    assert reasons["hangs"] == "its describe did not end within 8 s"
    assert workers() == []


def test_who_stops_listening_leaves_no_worker_behind(ask: Callable[..., Asked]) -> None:
    with closing(answers(ask(good="pass", hangs=HANGS), timeout_s=60)) as found:
        name, _ = next(found)
        assert name == "good"
        assert workers()
    assert workers() == []


@pytest.mark.parametrize(("available_gib", "most"), [(1, 1), (3, 1), (64, 2)])  # one may grow to 2
def test_no_more_live_than_there_are_processors_and_memory_for(
    available_gib: int,
    most: int,
    ask: Callable[..., Asked],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory = SimpleNamespace(available=available_gib * 2**30)
    monkeypatch.setattr("psutil.virtual_memory", lambda: memory)
    monkeypatch.setattr("bench.machine.cpus.allowed", lambda: [0, 1])
    seen: list[int] = []

    def watched() -> Iterator[str]:
        for name, _ in answers(ask(a="pass", b="pass", c="pass"), timeout_s=60):
            seen.append(len(workers()))
            yield name

    assert sorted(watched()) == ["a", "b", "c"]
    # the one that has answered is gone; the others live
    assert max(seen) == most - 1
