"""Which worker measures next. Knows nothing of frameworks, and sleeps while a worker works.

Cells that will be compared with each other form a cohort: their workers live side by side, and run
in rounds whose order is shuffled. In each round every worker runs one block, of the same number of
steps, while all others are suspended, so that a drift of the machine cancels in the ratio of two
cells.
"""

import random
import secrets
import statistics
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Any

from bench import signals
from bench.analysis.latency import latency_rounds
from bench.analysis.steadiness import settled
from bench.cells import TRAINING, Cell
from bench.machine import cpus
from bench.machine.devices import DEVICES
from bench.obstacles import obstacle
from bench.parent import to_target
from bench.parent.child import Child
from bench.parent.compile_caches import CompileCaches
from bench.parent.measurement import (
    MIN_BLOCKS,
    Measurement,
    OnRequest,
    split,
    times_itself,
    warm_up_steps,
)
from bench.parent.memory_budget import MemoryBudget
from bench.parent.outcome import Outcome, Task
from bench.worker.environment import Environment

# Of a log; file systems allow 255, and the name of weights may hold that of those they began with
LONGEST_NAME = 160


def by_contest(tasks: Sequence[Task]) -> list[list[Task]]:
    """The tasks grouped by replicate and contest: those that are to be interleaved."""
    groups: dict[tuple[Any, ...], list[Task]] = {}
    for cell, replicate in sorted(tasks, key=lambda task: task[1]):
        groups.setdefault((replicate, cell.beside), []).append((cell, replicate))
    return list(groups.values())


@dataclass
class Schedule:
    """Measures tasks one cohort after another."""

    data_folders: Mapping[Cell, Path]
    logs: Path
    timeout_s: float
    seed: int
    on_request: OnRequest = lambda task, name, steps: None
    weights: Path | None = None  # the folder that trained weights are saved in
    attempt: int = 0  # above 0: all is measured again, and what the attempts before left stays
    host_mib: dict[Cell, float] = field(default_factory=dict)  # of an earlier process, or estimated
    compile_caches: CompileCaches = field(default_factory=CompileCaches)

    def run(self, tasks: Sequence[Task]) -> Generator[tuple[Task, Outcome], None, None]:
        """Yield the outcome of every task, failures included, as soon as it is known.

        Closing the generator early, or an exception in it, ends all workers.
        """
        for group in by_contest(tasks):
            replicate = group[0][1]
            order = random.Random(f"seed {self.seed}, replicate {replicate}")
            pending = []
            for task in group:
                found = obstacle(task[0])
                if found is None:
                    pending.append(task)
                elif task[1] == 0:  # once is enough: no other process would fare better
                    status, reason = found
                    yield task, Outcome(status=status, reason=reason)
            # The first to start can stay slower than the others, by the memory that it finds:
            # every second replicate starts in the reverse order of the one before.
            random.Random(f"seed {self.seed}, pair {replicate // 2}").shuffle(pending)
            if replicate % 2:
                pending.reverse()
            while pending:
                cohort = secrets.token_hex(4)  # not by the seed: a resumed run draws that again
                with ExitStack() as ending:
                    for measurement in self._cohort(pending, order, ending):
                        if measurement.failure:
                            self.compile_caches.forget(measurement.task[0])
                        yield measurement.task, measurement.outcome(cohort)

    def _cohort(
        self, pending: list[Task], order: random.Random, ending: ExitStack
    ) -> Iterator[Measurement]:
        """Take as many of `pending` as memory holds, and measure them side by side; yields each
        when it is done or has failed.
        """
        live: list[Measurement] = []
        budget = MemoryBudget(pending[0][0].device)
        while pending and (more := budget.for_more(live, self._expected_mib(pending))):
            for measurement in self._built(pending, more, ending):
                cell = measurement.task[0]
                warm_up = 0 if cell.target_accuracy else warm_up_steps(cell.steps)
                if measurement.failure is None and measurement.warm_up(warm_up):
                    live.append(measurement)
                    self.host_mib[cell] = measurement.host_mib
                else:
                    yield measurement

        for steps in _blocks(live):
            again = True
            while again:
                stops = signals.stops()
                going = [m for m in live if m.approach is None or not m.approach.reached]
                for measurement in order.sample(going, len(going)):
                    if not _block(measurement, steps[measurement]):
                        live.remove(measurement)
                        yield measurement
                # a round that is left out of one row is so of all: they stay paired
                touched = [m for m in going if m in live] if signals.stops() != stops else []
                again = True in {measurement.leave_out_block() for measurement in touched}

        for measurement in tuple(live):
            if not measurement.finish(self._weights_file(measurement.task)):
                live.remove(measurement)
                yield measurement

        for round_ in _latency_rounds(live):
            for measurement in order.sample(live, len(live)):
                singles = round_[measurement]
                if singles and not measurement.latency(singles):
                    live.remove(measurement)
                    yield measurement

        for measurement, steady in zip(live, _steady(live), strict=True):
            measurement.steady = steady
            measurement.audit()
            measurement.child.end()
            yield measurement

    def _expected_mib(self, tasks: Sequence[Task]) -> list[float | None]:
        """What their workers will take on the host; None where nothing is known."""
        return [self.host_mib.get(cell) for cell, _ in tasks]

    def _built(self, pending: list[Task], most: int, ending: ExitStack) -> list[Measurement]:
        """The next of `pending`, `most` at most, each with its network or its failure.

        First replicates are built one by one, and that is timed. To save time the others are built
        side by side, one on each of their processors; no record says how long that took.
        """
        first, replicate = pending[0]
        at_once = 1 if replicate == 0 else first.threads or len(cpus.allowed())
        batch, began_s = [], monotonic()
        for cell, replicate in pending[: min(most, at_once)]:
            log = self.logs / f"{self._name((cell, replicate))}.log"
            warm = self.compile_caches.warm(cell)
            with signals.held():
                child = Child(Environment.of(cell), log, self.compile_caches.of(cell))
                ending.callback(child.end)
            task = (cell, replicate)
            batch.append(Measurement(task, child, self.timeout_s, self.on_request, warm))
        del pending[: len(batch)]
        for measurement in batch:
            measurement.begin_build(self.data_folders[measurement.task[0]])
        for measurement in batch:
            measurement.end_build(alone=len(batch) == 1)
        share_s = (monotonic() - began_s) / len(batch)  # of what they took together
        for measurement in batch:
            measurement.spend(measurement.building.name, share_s)
        return batch

    def _weights_file(self, task: Task) -> Path | None:
        if self.weights is None or task[0].workload not in TRAINING:
            return None
        return self.weights.absolute() / f"{self._name(task)}.safetensors"

    def _name(self, task: Task) -> str:
        """Of the files of a task: no other attempt at it has the same."""
        cell, replicate = task
        again = f"-attempt-{self.attempt}" if self.attempt else ""
        return f"{_slug(cell)}-{replicate}{again}"


def _block(measurement: Measurement, steps: int) -> bool:
    """A block, and the accuracy that it led to where that decides when to stop."""
    done = measurement.block(steps)
    return measurement.evaluate() if done and measurement.task[0].target_accuracy else done


def _blocks(live: Sequence[Measurement]) -> list[dict[Measurement, int]]:
    """Steps of each worker's blocks, round by round: as many for the whole cohort, so that a block
    of its median cell is about as long as the device wants. Where the number of steps is free, each
    worker's blocks are that long.
    """
    if not live:
        return []
    cell = live[0].task[0]
    block_s = DEVICES[cell.device].block_s
    if times_itself(cell):
        own = {each: max(1, round(block_s / each.step_s)) for each in live}
        return [own] * MIN_BLOCKS
    if cell.target_accuracy:
        blocks = to_target.blocks(cell)
    else:
        timed = cell.steps - 1 - warm_up_steps(cell.steps)
        step_s = statistics.median(measurement.step_s for measurement in live)
        blocks = split(timed, max(1, round(block_s / step_s))) if timed else []
    return [dict.fromkeys(live, steps) for steps in blocks]


def _latency_rounds(live: Sequence[Measurement]) -> list[dict[Measurement, int]]:
    """How many single steps each worker times in each round; none where time to a target is it."""
    if live and live[0].task[0].target_accuracy:
        return []
    shares = [latency_rounds(m.task[0].steps, m.step_s) for m in live]
    return [dict(zip(live, steps, strict=True)) for steps in zip(*shares, strict=True)]


def _steady(live: Sequence[Measurement]) -> Sequence[bool | None]:
    """Whether each has settled; None where they ran different numbers of blocks."""
    if live and live[0].task[0].target_accuracy:
        return [None] * len(live)
    return settled([measurement.block_step_s for measurement in live])


def _slug(cell: Cell) -> str:
    parts = (*cell.label.split(), *cell.contest_label.split())
    name = "-".join(part.strip("]").replace("[", "-") for part in parts)
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[:LONGEST_NAME]}-{sha256(name.encode()).hexdigest()[:8]}"
