"""How many workers live side by side, and how many are built at once."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import SimpleNamespace

import psutil
import pytest

from bench.cells import Cell
from bench.parent.measurement import Measurement
from bench.parent.memory_budget import MemoryBudget
from bench.parent.outcome import Outcome, Task
from bench.parent.schedule import Schedule

MakeCell = Callable[..., Cell]
MakeSchedule = Callable[..., Schedule]

MODES = ("eager", "graph", "compiled")


def cohorts(outcomes: Sequence[tuple[Task, Outcome]]) -> list[int]:
    assert {outcome.status for _, outcome in outcomes} == {"ok"}
    return sorted(Counter(outcome.cohort for _, outcome in outcomes).values())


def test_memory_decides_how_many_live_side_by_side(
    make_cell: MakeCell, make_schedule: MakeSchedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [(make_cell(mode=mode), 0) for mode in MODES]
    together = list(make_schedule(tasks).run(tasks))
    assert cohorts(together) == [3]

    built = together[0][1].built
    assert built
    size_mib = built.host_baseline_mib
    monkeypatch.setattr("bench.parent.memory_budget.MEMORY_FRACTION", 1)
    room_for_two = SimpleNamespace(available=int(2.5 * size_mib * 2**20))
    monkeypatch.setattr("psutil.virtual_memory", lambda: room_for_two)
    assert cohorts(list(make_schedule(tasks).run(tasks))) == [1, 2]

    monkeypatch.setattr("bench.parent.memory_budget.MEMORY_FRACTION", 0)
    assert cohorts(list(make_schedule(tasks).run(tasks))) == [1, 1, 1]


@pytest.mark.parametrize("told", [True, False], ids=["the driver tells whose", "it does not"])
def test_gpu_memory_decides_it_too(
    told: bool, make_cell: MakeCell, make_schedule: MakeSchedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Gpu:
        """Of 1000 MiB, of which each worker takes 350."""

        def free_mib(self) -> float:
            workers = [p for p in psutil.Process().children() if "bench.worker" in p.cmdline()]
            return 1000.0 - 350.0 * len(workers)

        def process_mib(self, group: int) -> float | None:
            return 350.0 if told else None

    tasks = [(make_cell(mode=mode), 0) for mode in MODES]
    schedule = make_schedule(tasks)
    monkeypatch.setattr("bench.machine.gpu.visible", lambda: (Gpu(),))
    budget = MemoryBudget("cuda")
    with ExitStack() as ending:
        live: list[Measurement] = []
        fitting = []
        for _ in MODES:
            live += schedule._built(tasks[:1], 1, ending)
            live[-1].warm_up(1)
            fitting.append(budget.for_more(live))
    assert fitting == [1, 0, 0]  # of 800
    assert MemoryBudget("cpu").for_more(live) > 3


def test_builds_are_timed_where_none_goes_on_beside_them(
    make_cell: MakeCell, make_schedule: MakeSchedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.machine.cpus.allowed", lambda: [0, 1])
    tasks = [(make_cell(mode=mode), replicate) for mode in MODES for replicate in range(2)]
    known = defaultdict(list)
    for (_, replicate), outcome in make_schedule(tasks).run(tasks):
        assert outcome.status == "ok"
        known[replicate].append(outcome.built_alone)
    assert known[0] == [True] * 3
    assert sorted(known[1]) == [False, False, True]  # one on each CPU, then the last


def test_further_processes_are_built_side_by_side_from_the_first_on(
    make_cell: MakeCell, make_schedule: MakeSchedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.machine.cpus.allowed", lambda: [0, 1])
    tasks = [(make_cell(mode=mode), replicate) for mode in MODES[:2] for replicate in range(2)]
    alone = [outcome.built_alone for _, outcome in make_schedule(tasks).run(tasks)]
    assert alone == [True, True, False, False]  # what earlier processes took tells how many fit


def test_as_many_begin_side_by_side_as_fit() -> None:
    budget = MemoryBudget("cpu")
    budget.host_mib = 1000.0
    assert budget.for_more([], [300.0, 250.0, 400.0, 300.0]) == 3
    assert budget.for_more([], [2000.0]) == 1
    assert budget.for_more([], [300.0, None]) == budget.for_more([]) == 1
