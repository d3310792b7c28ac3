"""How much of a run is left, by its estimate and by how long what is done has really taken."""

import time
from collections.abc import Callable, Mapping

from bench.cells import Cell
from bench.plan.observed import timed_steps

Task = tuple[Cell, int]  # a cell and its replicate
Seconds = Mapping[Task, dict[str, float] | None]  # of each kind of request; None: not known

# Elapsed and estimated seconds are compared as if so many had gone by as estimated: a first second
# says little
TRUSTED_S = 10.0


class Remaining:
    """Is told of each request and each end, and knows the seconds that are left."""

    def __init__(self, seconds: Seconds, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.processes = len(seconds)
        self.current: tuple[Task, str, float] | None = None  # the request under way, its share
        self.began_s = self.clock()
        self.over: set[Task] = set()
        self.estimate(seconds)

    def estimate(self, seconds: Seconds) -> None:
        """Take new estimates of all tasks, in place of those before; between two cohorts."""
        left = {task: each for task, each in seconds.items() if task not in self.over}
        self.left = {task: each and dict(each) for task, each in left.items()}
        self.whole = {task: each or {} for task, each in seconds.items()}
        self.done_s = sum(sum(self.whole[task].values()) for task in self.over)

    def on_request(self, task: Task, name: str, steps: int) -> None:
        """A worker begins to answer a request; the one before it has been answered."""
        self._settle()
        self.current = (task, name, _share(task[0], name, steps))

    def on_end(self, task: Task) -> None:
        """A task has ended, whatever of its time is left."""
        self._settle()
        self.current = None
        if task in self.left:
            self.over.add(task)
            self.done_s += sum((self.left.pop(task) or {}).values())

    @property
    def ended(self) -> int:
        """How many processes have ended."""
        return self.processes - len(self.left)

    @property
    def unknown(self) -> int:
        """How many of the tasks that are left have no estimate."""
        return sum(each is None for each in self.left.values())

    @property
    def left_s(self) -> float | None:
        """Seconds that are left of the tasks with an estimate; None where none has one."""
        known = [sum(each.values()) for each in self.left.values() if each is not None]
        if not known:
            return None if self.left else 0.0
        return sum(known) * self.ratio

    @property
    def ratio(self) -> float:
        """How many times as long as estimated it has taken so far."""
        return (self.clock() - self.began_s + TRUSTED_S) / (self.done_s + TRUSTED_S)

    def _settle(self) -> None:
        """Count the request under way as done."""
        if self.current is None:
            return
        task, name, share = self.current
        of_task = self.left.get(task)
        if of_task and name in of_task:
            seconds = min(of_task[name], share * self.whole[task].get(name, 0.0))
            of_task[name] -= seconds
            self.done_s += seconds
        self.current = None


def _share(cell: Cell, name: str, steps: int) -> float:
    """Which part of all requests of its kind to a process one of so many steps is."""
    if name == "block":
        return steps / max(1, cell.steps if cell.target_accuracy else timed_steps(cell.steps))
    if name == "evaluate":
        return (cell.evaluate_every or cell.steps) / cell.steps
    return 1.0
