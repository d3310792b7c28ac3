"""Which worker measures next. Knows nothing of frameworks, and sleeps while a worker works.

Cells that will be compared with each other form a cohort: their workers live side by side, and
take turns in rounds whose order is shuffled. In each round every worker runs one block, of the same
number of steps, while all others are suspended, so that a drift of the machine cancels in the ratio
of two cells.
"""

import random
import secrets
import statistics
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bench.cells import Cell, obstacle
from bench.child import Child, Failure
from bench.latency import latency_turns
from bench.state import Watch
from bench.steadiness import settled

BLOCK_S = 0.5  # a typical block: long against the cost of a switch, short against the drift
MIN_BLOCKS = 10  # where there are steps enough
MEMORY_FRACTION = 0.8  # of what is available, for the workers of a cohort

Task = tuple[Cell, int]  # a cell and its replicate
Outcome = dict[str, Any]  # what was learnt, by the names of Record's fields


class Measurement:
    """A task under way: its worker, and what that has told so far."""

    def __init__(self, task: Task, child: Child) -> None:
        self.task = task
        self.child = child
        self.watch = Watch(task[0].device, child.process.pid)
        self.values: Outcome = {"block_steps": [], "block_s": [], "latency_ms": []}

    def turn(self, turn: str, timeout_s: float, **request: Any) -> bool:
        """Have the worker do one turn and keep its answer; False where it failed, and is ended."""
        if turn == "block":
            self.watch.begin()
        elif turn == "finish":
            self.values |= self.watch.summary()
        self.child.begin(turn, **request)
        return self.keep(turn, timeout_s, **request)

    def keep(self, turn: str, timeout_s: float, **request: Any) -> bool:
        """As `turn`, of a turn that was begun."""
        try:
            answer = self.child.answer(turn, timeout_s)
        except Failure as failure:
            self.child.end()
            self.values |= {"status": failure.status, "reason": failure.reason}
            return False
        if turn == "block":
            self.values["block_steps"].append(request["steps"])
            self.values["block_s"].append(answer["block_s"])
            seen = self.watch.end(answer["cpu_s"])
            seen |= {f"block_{name}": answer[name] for name in ("host_mib", "device_mib")}
            for name, value in seen.items():
                self.values.setdefault(name, []).append(value)
        elif turn == "latency":
            self.values["latency_ms"] += answer["latency_ms"]
        elif turn == "audit":
            faults = [*answer["faults"], self.child.suspension.fault]
            if reason := "; ".join(filter(None, faults)):
                self.values |= {"status": "uncertified", "reason": reason}
        else:
            self.values |= answer
        if turn == "finish":
            self.values["status"] = "ok"
        return True

    @property
    def host_mib(self) -> float:
        """Resident memory after the warm-up, when everything has been allocated."""
        return float(self.values["host_mib"])

    @property
    def block_step_s(self) -> list[float]:
        """Seconds per step of each block so far."""
        pairs = zip(self.values["block_s"], self.values["block_steps"], strict=True)
        return [seconds / steps for seconds, steps in pairs]

    @property
    def step_s(self) -> float:
        """Seconds per step so far, in blocks or else while warming up: to choose lengths by."""
        if self.values["block_s"]:
            return sum(self.values["block_s"]) / sum(self.values["block_steps"])
        steps = warm_up_steps(self.task[0].steps)
        return self.values["warmup_s"] / steps if steps else self.values["first_step_s"]

    @property
    def outcome(self) -> tuple[Task, Outcome]:
        """What becomes a record."""
        return self.task, {
            name: value
            for name, value in self.values.items()
            if name != "host_mib" and not (isinstance(value, list) and None in value)
        }


def warm_up_steps(steps: int) -> int:
    """How many steps after the first are warm-up: a tenth of all, two where there are so few."""
    return max(steps // 10, min(2, (steps - 1) // 2))


def split(steps: int, typical: int) -> list[int]:
    """`steps` in blocks of about `typical` steps, none more than one step longer than another."""
    blocks = max(1, min(steps, max(MIN_BLOCKS, round(steps / typical))))
    base, longer = divmod(steps, blocks)
    return [base + 1] * longer + [base] * (blocks - longer)


def by_contest(tasks: Sequence[Task]) -> list[list[Task]]:
    """The tasks grouped by replicate and contest: those that are to be interleaved."""
    groups: dict[tuple[Any, ...], list[Task]] = {}
    for cell, replicate in sorted(tasks, key=lambda task: task[1]):
        groups.setdefault((replicate, cell.contest), []).append((cell, replicate))
    return list(groups.values())


@dataclass
class Schedule:
    """Measures tasks one cohort after another."""

    data_folders: Mapping[Cell, Path]
    logs: Path
    timeout_s: float
    seed: int
    on_turn: Callable[[Task, str, int], None] = lambda task, turn, steps: None
    weights: Path | None = None  # the folder that trained weights are saved in

    def run(self, tasks: Sequence[Task]) -> Generator[tuple[Task, Outcome], None, None]:
        """Yield the outcome of every task, failures included, as soon as it is known.

        Closing the generator early, or an exception in it, ends all workers.
        """
        for group in by_contest(tasks):
            order = random.Random(f"seed {self.seed}, replicate {group[0][1]}")
            pending = []
            for task in group:
                found = obstacle(task[0])
                if found is None:
                    pending.append(task)
                elif task[1] == 0:  # once is enough: no other process would fare better
                    yield task, dict(zip(("status", "reason"), found, strict=True))
            order.shuffle(pending)
            while pending:
                cohort = secrets.token_hex(4)  # not by the seed: a resumed run draws that again
                with ExitStack() as ending:
                    for task, outcome in self._cohort(pending, order, ending):
                        yield task, outcome | {"cohort": cohort}

    def _cohort(
        self, pending: list[Task], order: random.Random, ending: ExitStack
    ) -> Iterator[tuple[Task, Outcome]]:
        """Take as many of `pending` as memory holds, and measure them side by side."""
        live: list[Measurement] = []
        available_mib = psutil.virtual_memory().available / 2**20 * MEMORY_FRACTION
        while pending and (room := _room(live, available_mib)):
            built = []
            for measurement in self._built(pending, room, ending):
                if "status" in measurement.values:
                    yield measurement.outcome
                else:
                    built.append(measurement)
            for measurement in built:
                warm_up = warm_up_steps(measurement.task[0].steps)
                if self._turn(measurement, "warm_up", steps=warm_up):
                    live.append(measurement)
                else:
                    yield measurement.outcome

        for steps in _blocks(live):
            for measurement in order.sample(live, len(live)):
                if not self._turn(measurement, "block", steps=steps):
                    live.remove(measurement)
                    yield measurement.outcome

        for measurement in tuple(live):
            file = self._weights_file(measurement.task)
            if not self._turn(measurement, "finish", weights_file=file):
                live.remove(measurement)
                yield measurement.outcome

        for turns in _latency_rounds(live):
            for measurement in order.sample(live, len(live)):
                steps = turns[measurement]
                if steps and not self._turn(measurement, "latency", steps=steps):
                    live.remove(measurement)
                    yield measurement.outcome

        steady = settled([measurement.block_step_s for measurement in live])
        for measurement, is_steady in zip(live, steady, strict=True):
            self._turn(measurement, "audit", step_s=measurement.step_s)
            measurement.child.end()
            measurement.values["steady"] = is_steady
            yield measurement.outcome

    def _built(self, pending: list[Task], room: int, ending: ExitStack) -> list[Measurement]:
        """The next of `pending`, as many as have `room`, each with its network or its failure.

        First replicates are built one by one, and that is timed. To save time the others are built
        side by side, one on each processor; how long that took is then told of none.
        """
        at_once = 1 if pending[0][1] == 0 else psutil.cpu_count() or 1
        batch = []
        for cell, replicate in pending[: min(room, at_once)]:
            log = self.logs / f"{_slug(cell)}-{replicate}.log"
            child = Child(cell, self.data_folders[cell], log)
            ending.callback(child.end)
            batch.append(Measurement((cell, replicate), child))
        del pending[: len(batch)]
        for measurement in batch:
            self.on_turn(measurement.task, "build", 0)
            measurement.child.begin("build")
        for measurement in batch:
            measurement.keep("build", self.timeout_s)
            if len(batch) > 1:
                measurement.values |= dict.fromkeys(("import_s", "build_s"))
        return batch

    def _weights_file(self, task: Task) -> str | None:
        cell, replicate = task
        if self.weights is None or cell.workload != "train":
            return None
        return str(self.weights.absolute() / f"{_slug(cell)}-{replicate}.safetensors")

    def _turn(self, measurement: Measurement, turn: str, **request: Any) -> bool:
        self.on_turn(measurement.task, turn, request.get("steps", 0))
        return measurement.turn(turn, self.timeout_s, **request)


def _blocks(live: Sequence[Measurement]) -> list[int]:
    """Steps of each block: the same for the whole cohort, about BLOCK_S for its median cell."""
    if not live:
        return []
    steps = live[0].task[0].steps
    timed = steps - 1 - warm_up_steps(steps)
    step_s = statistics.median(measurement.step_s for measurement in live)
    return split(timed, max(1, round(BLOCK_S / step_s))) if timed else []


def _latency_rounds(live: Sequence[Measurement]) -> list[dict[Measurement, int]]:
    """How many single steps each worker times in each round."""
    shares = [latency_turns(m.task[0].steps, m.step_s) for m in live]
    return [dict(zip(live, steps, strict=True)) for steps in zip(*shares, strict=True)]


def _room(live: Sequence[Measurement], available_mib: float) -> int:
    """How many more workers as large as the largest fit beside those that live; one alone does."""
    if not live:
        return 1
    sizes = [measurement.host_mib for measurement in live]
    return max(0, int((available_mib - sum(sizes)) / max(sizes)))


def _slug(cell: Cell) -> str:
    parts = (*cell.label.split(), *cell.contest_label.split())
    return "-".join(part.strip("]").replace("[", "-") for part in parts)
