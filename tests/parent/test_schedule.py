"""Who measures when: real workers that keep a diary."""

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.analysis.latency import latency_rounds
from bench.cells import Cell
from bench.machine.devices import DEVICES
from bench.parent.measurement import MIN_BLOCKS, warm_up_steps
from bench.parent.outcome import Outcome, Task
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


def diaries(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in folder.glob("*.json")]


def workers() -> list[psutil.Process]:
    return [p for p in psutil.Process().children() if "bench.worker" in p.cmdline()]


def losses(outcome: Outcome) -> int:
    """How many steps told their loss."""
    assert outcome.finished
    return len(outcome.finished.losses)


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
    assert sum(call[2] for call in diary["calls"]) == steps == losses(outcome)
    assert 1 + warm_up_steps(steps) + sum(block.steps for block in outcome.blocks) == steps


@pytest.fixture
def three(
    make_cell: MakeCell, faulty: MakeFaulty, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, list[Task]]:
    """The folder of the diaries, and three contenders; always in MIN_BLOCKS rounds."""
    monkeypatch.setitem(DEVICES, "cpu", replace(DEVICES["cpu"], block_s=1e6))
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
    assert [outcome.status for outcome in outcomes] == ["ok"] * 3
    assert len({outcome.cohort for outcome in outcomes}) == 1
    assert len({tuple(block.steps for block in outcome.blocks) for outcome in outcomes}) == 1

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


def test_single_steps_are_timed_in_rounds_after_all_else(
    make_cell: MakeCell,
    faulty: MakeFaulty,
    make_schedule: MakeSchedule,
) -> None:
    path = faulty("events", EVENTS)
    tasks = [(make_cell(path, mode=mode, steps=100), 0) for mode in MODES[:2]]
    outcomes = [outcome for _, outcome in make_schedule(tasks).run(tasks)]
    assert [len(outcome.latency_ms) for outcome in outcomes] == [25, 25]
    assert [losses(outcome) for outcome in outcomes] == [100, 100]

    events = [line.split(" ", 1) for line in path.with_name("events").read_text().splitlines()]
    last = max(number for number, (_, event) in enumerate(events) if event == "predict")
    expected = 2 * (25 + len(latency_rounds(100, 1e-6)))
    alone = events[last + 1 :][:expected]
    assert {event for _, event in alone} == {"train 1"}
    stretches = [pid for pid, _ in groupby(pid for pid, _ in alone)]
    assert len(stretches) > 2
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

    def note(task: Task, name: str, steps: int) -> None:
        if name == "build":
            starts[task[1]].append(task[0].mode)

    tasks = [(make_cell(mode=mode, steps=1), index) for mode in MODES for index in range(4)]
    list(make_schedule(tasks, on_request=note).run(tasks))
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
    outcomes = list(make_schedule(tasks, weights=tmp_path, attempt=2).run(tasks))
    assert [outcome.status for _, outcome in outcomes] == ["ok"] * 3
    saved = {path for _, outcome in outcomes if (path := outcome.weights_file)}
    assert saved == set(tmp_path.glob("*-0-attempt-2.safetensors"))
    assert {log.stem for log in (tmp_path / "logs").iterdir()} == {path.stem for path in saved}
    assert len(saved) == 3


def test_cohorts_of_a_resumed_run_are_not_those_it_had_before(
    make_cell: MakeCell, make_schedule: MakeSchedule
) -> None:
    cell = make_cell()
    parts = [list(make_schedule([task]).run([task])) for task in ((cell, 0), (cell, 1))]
    names = {outcome.cohort for part in parts for _, outcome in part}
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

    def interrupt(task: Task, name: str, steps: int) -> None:
        if name == "block":
            alive.extend(workers())
            raise KeyboardInterrupt

    tasks = [(make_cell(mode=mode), 0) for mode in MODES]
    with pytest.raises(KeyboardInterrupt):
        list(make_schedule(tasks, on_request=interrupt).run(tasks))
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
    assert outcomes[bad].status == "crashed"
    assert outcomes[bad].reason == "RuntimeError: at the fourth call"
    assert outcomes[good].status == "ok"
    assert losses(outcomes[good]) == good.steps


def test_what_cannot_run_is_told_once_and_starts_no_worker(
    make_cell: MakeCell, make_schedule: MakeSchedule, tmp_path: Path
) -> None:
    impossible = [(make_cell(precision="tf32"), replicate) for replicate in range(3)]
    possible = [(make_cell(), replicate) for replicate in range(3)]
    tasks = impossible + possible
    statuses = defaultdict(list)
    for (cell, _), outcome in make_schedule(tasks).run(tasks):
        statuses[cell.precision].append(outcome.status)
    assert statuses == {"tf32": ["unsupported"], "fp32": ["ok"] * 3}
    assert all("tf32" not in log.name for log in (tmp_path / "logs").iterdir())
