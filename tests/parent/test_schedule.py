"""Who measures when: the arithmetic of blocks, then real workers that keep a diary."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import groupby, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from bench.analysis.latency import latency_turns
from bench.cells import Cell
from bench.parent.measurement import MIN_BLOCKS, Measurement, Outcome, Task, split, warm_up_steps
from bench.parent.schedule import Schedule, by_contest
from resnet_impls.architecture import ARCHITECTURES
from resnet_impls.weights import initial_weights, save

MakeCell = Callable[..., Cell]
MakeFaulty = Callable[[str, str], Path]
MakeSchedule = Callable[..., Schedule]

# Notes when each call of train began and ended, and, by a thread, when the process ran at all
DIARY = """
def __init__(self, *arguments, mode, **options):
    super().__init__(*arguments, mode=mode, **options)
    self.mode, self.calls, self.ticks = mode, [], []
    threading.Thread(target=self.tick, daemon=True).start()

def tick(self):
    while True:
        self.ticks.append(time.monotonic())
        time.sleep(0.001)

def train(self, steps):
    begin = time.monotonic()
    losses = super().train(steps)
    time.sleep(0.02)
    self.calls.append([begin, time.monotonic(), steps])
    return losses

def predict(self, images):
    diary = {"mode": self.mode, "batch": len(images), "calls": self.calls, "ticks": self.ticks}
    (HERE / f"{os.getpid()}.json").write_text(json.dumps(diary))
    return super().predict(images)
"""
MODES = ("eager", "graph", "compiled")


@pytest.fixture
def make_schedule(digits: Path, tmp_path: Path) -> MakeSchedule:
    def make(tasks: Sequence[Task], seed: int = 0, **options: Any) -> Schedule:
        folder = tmp_path / "logs"
        folder.mkdir(exist_ok=True)
        return Schedule({cell: digits for cell, _ in tasks}, folder, 60, seed, **options)

    return make


def diaries(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in folder.glob("*.json")]


def workers() -> list[psutil.Process]:
    return [p for p in psutil.Process().children() if "bench.worker" in p.cmdline()]


@pytest.mark.parametrize("steps", [1, 2, 7, 9, 10, 11, 35, 100, 361])
@pytest.mark.parametrize("typical", [1, 3, 10, 100, 1_000_000])
def test_blocks_hold_all_steps_and_differ_by_one_at_most(steps: int, typical: int) -> None:
    blocks = split(steps, typical)
    assert sum(blocks) == steps
    assert min(blocks) >= 1
    assert max(blocks) - min(blocks) <= 1
    assert len(blocks) >= min(steps, MIN_BLOCKS)


def test_blocks_are_about_as_long_as_is_typical() -> None:
    assert split(360, 20) == [20] * 18
    assert split(25, 1_000) == [3] * 5 + [2] * 5


@pytest.mark.parametrize(
    ("steps", "warm_up"), [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (10, 2), (100, 10), (400, 40)]
)
def test_the_warm_up_is_a_tenth_and_leaves_steps_to_time(steps: int, warm_up: int) -> None:
    assert warm_up_steps(steps) == warm_up


def test_only_tasks_of_one_contest_and_replicate_are_interleaved(make_cell: MakeCell) -> None:
    eager, graph = make_cell(mode="eager"), make_cell(mode="graph")
    large = make_cell(batch_size=128)
    tasks = [(cell, replicate) for cell in (eager, large, graph) for replicate in range(2)]
    assert by_contest(tasks) == [
        [(eager, 0), (graph, 0)],
        [(large, 0)],
        [(eager, 1), (graph, 1)],
        [(large, 1)],
    ]


@pytest.mark.parametrize("steps", [1, 2, 3, 40])
def test_a_worker_runs_exactly_the_steps_asked_for(
    steps: int, make_cell: MakeCell, faulty: MakeFaulty, make_schedule: MakeSchedule
) -> None:
    path = faulty("diary", DIARY)
    tasks = [(make_cell(path, steps=steps), 0)]
    [(_, outcome)] = make_schedule(tasks).run(tasks)
    [diary] = diaries(path.parent)
    assert sum(call[2] for call in diary["calls"]) == steps == len(outcome["losses"])
    assert 1 + warm_up_steps(steps) + sum(outcome["block_steps"]) == steps
    assert len(outcome["block_s"]) == len(outcome["block_steps"])


@pytest.fixture
def three(
    make_cell: MakeCell, faulty: MakeFaulty, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, list[Task]]:
    """The folder of the diaries, and three contenders; always in MIN_BLOCKS rounds."""
    monkeypatch.setattr("bench.parent.schedule.BLOCK_S", {"cpu": 1e6})
    path = faulty("diary", DIARY)
    return path.parent, [(make_cell(path, mode=mode, steps=40), 0) for mode in MODES]


def order_of_blocks(folder: Path) -> list[str]:
    begun = []
    for diary in diaries(folder):
        begun += [(begin, diary["mode"]) for begin, _, _ in diary["calls"][2:]]
    return [mode for _, mode in sorted(begun)]


def test_one_worker_runs_at_a_time(
    three: tuple[Path, list[Task]], make_schedule: MakeSchedule
) -> None:
    folder, tasks = three
    outcomes = [outcome for _, outcome in make_schedule(tasks).run(tasks)]
    assert [outcome["status"] for outcome in outcomes] == ["ok"] * 3
    assert len({outcome["cohort"] for outcome in outcomes}) == 1
    assert len({tuple(outcome["block_steps"]) for outcome in outcomes}) == 1

    written = diaries(folder)
    calls = sorted(call for diary in written for call in diary["calls"])
    assert len(calls) == 3 * (2 + MIN_BLOCKS)
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(calls))
    for diary in written:
        # A stop takes the kernel a moment, so only the second half of a call counts
        late = [((begin + end) / 2, end) for begin, end, _ in diary["calls"]]
        ticks = [tick for other in written if other is not diary for tick in other["ticks"]]
        assert any(low < tick < high for low, high in late for tick in diary["ticks"])
        assert not any(low < tick < high for low, high in late for tick in ticks)


EVENTS = """
def train(self, steps):
    self.note(f"train {steps}")
    return super().train(steps)

def predict(self, images):
    self.note("predict")
    return super().predict(images)

def note(self, event):
    with (HERE / "events").open("a") as file:
        print(os.getpid(), event, file=file)
"""


def test_single_steps_are_timed_in_turns_after_all_else(
    make_cell: MakeCell,
    faulty: MakeFaulty,
    make_schedule: MakeSchedule,
) -> None:
    path = faulty("events", EVENTS)
    tasks = [(make_cell(path, mode=mode, steps=100), 0) for mode in MODES[:2]]
    outcomes = [outcome for _, outcome in make_schedule(tasks).run(tasks)]
    assert [len(outcome["latency_ms"]) for outcome in outcomes] == [25, 25]
    assert [len(outcome["losses"]) for outcome in outcomes] == [100, 100]

    events = [line.split(" ", 1) for line in path.with_name("events").read_text().splitlines()]
    last = max(number for number, (_, event) in enumerate(events) if event == "predict")
    expected = 2 * (25 + len(latency_turns(100, 1e-6)))
    alone = events[last + 1 :][:expected]
    assert {event for _, event in alone} == {"train 1"}
    turns = [pid for pid, _ in groupby(pid for pid, _ in alone)]
    assert len(turns) > 2
    audits = [pid for pid, _ in groupby(pid for pid, _ in events[last + 1 + expected :])]
    assert len(audits) == 2


def test_rounds_are_shuffled_by_the_seed_alone(
    three: tuple[Path, list[Task]], make_schedule: MakeSchedule
) -> None:
    folder, tasks = three
    orders = []
    for seed in (0, 0, 1):
        list(make_schedule(tasks, seed).run(tasks))
        orders.append(order_of_blocks(folder))
        for diary in folder.glob("*.json"):
            diary.unlink()
    rounds = [tuple(orders[0][start : start + 3]) for start in range(0, 3 * MIN_BLOCKS, 3)]
    assert all(sorted(order) == sorted(MODES) for order in rounds)
    assert len(set(rounds)) > 1
    assert orders[0] == orders[1] != orders[2]


def test_each_cell_starts_early_in_one_replicate_and_late_in_the_next(
    make_cell: MakeCell, make_schedule: MakeSchedule
) -> None:
    starts: dict[int, list[str]] = defaultdict(list)

    def note(task: Task, turn: str, steps: int) -> None:
        if turn == "build":
            starts[task[1]].append(task[0].mode)

    tasks = [(make_cell(mode=mode, steps=1), index) for mode in MODES for index in range(4)]
    list(make_schedule(tasks, on_turn=note).run(tasks))
    assert all(sorted(order) == sorted(MODES) for order in starts.values())
    assert starts[0] == starts[1][::-1]
    assert starts[2] == starts[3][::-1]


def test_a_long_name_of_the_weights_that_a_cell_begins_with_makes_no_file_too_long(
    make_cell: MakeCell, make_schedule: MakeSchedule, tmp_path: Path
) -> None:
    file = tmp_path / f"{'w' * 230}.safetensors"
    save(file, initial_weights(ARCHITECTURES["resnet14"], 1))
    cells = [make_cell(weights=str(file), mode=mode, steps=1) for mode in MODES]
    tasks = [(cell, 0) for cell in cells]
    outcomes = list(make_schedule(tasks, weights=tmp_path).run(tasks))
    assert [outcome["status"] for _, outcome in outcomes] == ["ok"] * 3
    assert len(list((tmp_path / "logs").iterdir())) == 3
    assert len(list(tmp_path.glob("*.safetensors"))) == 1 + 3


def test_cohorts_of_a_resumed_run_are_not_those_it_had_before(
    make_cell: MakeCell, make_schedule: MakeSchedule
) -> None:
    cell = make_cell()
    parts = [list(make_schedule([task]).run([task])) for task in ((cell, 0), (cell, 1))]
    names = {outcome["cohort"] for part in parts for _, outcome in part}
    assert len(names) == 2


def test_closing_early_ends_all_workers(make_cell: MakeCell, make_schedule: MakeSchedule) -> None:
    tasks = [(make_cell(mode=mode), 0) for mode in MODES]
    outcomes = make_schedule(tasks).run(tasks)
    next(outcomes)
    assert len(workers()) == 2
    outcomes.close()
    assert workers() == []


def test_an_interrupt_ends_all_workers(make_cell: MakeCell, make_schedule: MakeSchedule) -> None:
    alive = []

    def interrupt(task: Task, turn: str, steps: int) -> None:
        if turn == "block":
            alive.extend(workers())
            raise KeyboardInterrupt

    tasks = [(make_cell(mode=mode), 0) for mode in MODES]
    with pytest.raises(KeyboardInterrupt):
        list(make_schedule(tasks, on_turn=interrupt).run(tasks))
    assert len(alive) == 3
    assert workers() == []


def test_a_worker_that_fails_leaves_the_others_their_steps(
    make_cell: MakeCell, faulty: MakeFaulty, make_schedule: MakeSchedule
) -> None:
    path = faulty(
        "breaks_down",
        """
        def train(self, steps):
            self.calls = getattr(self, "calls", 0) + 1
            if self.calls == 4:
                raise RuntimeError("at the fourth call")
            return super().train(steps)
        """,
    )
    good, bad = make_cell(), make_cell(path)
    tasks = [(good, 0), (bad, 0)]
    outcomes = {cell: outcome for (cell, _), outcome in make_schedule(tasks).run(tasks)}
    assert outcomes[bad]["status"] == "crashed"
    assert outcomes[bad]["reason"] == "RuntimeError: at the fourth call"
    assert outcomes[good]["status"] == "ok"
    assert len(outcomes[good]["losses"]) == good.steps


def cohorts(outcomes: Sequence[tuple[Task, Outcome]]) -> list[int]:
    assert {outcome["status"] for _, outcome in outcomes} == {"ok"}
    return sorted(Counter(outcome["cohort"] for _, outcome in outcomes).values())


def test_memory_decides_how_many_live_side_by_side(
    make_cell: MakeCell, make_schedule: MakeSchedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [(make_cell(mode=mode), 0) for mode in MODES]
    together = list(make_schedule(tasks).run(tasks))
    assert cohorts(together) == [3]

    size_mib = together[0][1]["host_baseline_mib"]
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
    room = MemoryBudget("cuda")
    with ExitStack() as ending:
        live: list[Measurement] = []
        fitting = []
        for _ in MODES:
            live += schedule._built(tasks[:1], 1, ending)
            live[-1].turn("warm_up", 60, steps=1)
            fitting.append(room.for_more(live))
    assert fitting == [1, 0, 0]  # of 800
    assert MemoryBudget("cpu").for_more(live) > 3


def test_builds_are_timed_where_none_goes_on_beside_them(
    make_cell: MakeCell, make_schedule: MakeSchedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.machine.cpus.allowed", lambda: [0, 1])
    tasks = [(make_cell(mode=mode), replicate) for mode in MODES for replicate in range(2)]
    known = defaultdict(list)
    for (_, replicate), outcome in make_schedule(tasks).run(tasks):
        assert outcome["status"] == "ok"
        assert outcome["first_step_s"] > 0
        known[replicate].append(outcome["import_s"] is not None)
        assert known[replicate][-1] == (outcome["build_s"] is not None)
    assert known[0] == [True] * 3
    assert sorted(known[1]) == [False, False, True]  # the first tells how much room there is


def test_what_cannot_run_is_told_once_and_starts_no_worker(
    make_cell: MakeCell, make_schedule: MakeSchedule, tmp_path: Path
) -> None:
    impossible = [(make_cell(precision="tf32"), replicate) for replicate in range(3)]
    possible = [(make_cell(), replicate) for replicate in range(3)]
    tasks = impossible + possible
    statuses = defaultdict(list)
    for (cell, _), outcome in make_schedule(tasks).run(tasks):
        statuses[cell.precision].append(outcome["status"])
    assert statuses == {"tf32": ["unsupported"], "fp32": ["ok"] * 3}
    assert all("tf32" not in log.name for log in (tmp_path / "logs").iterdir())
