"""A task under way: its worker, its turns, and what becomes of their answers."""

from typing import Any

from bench.cells import Cell
from bench.machine.state import Watch
from bench.parent import to_target as reaching
from bench.parent.child import Child, Failure

MIN_BLOCKS = 10  # where there are steps enough

Task = tuple[Cell, int]  # a cell and its replicate
Outcome = dict[str, Any]  # what was learnt, by the names of Record's fields


class Measurement:
    """A task under way: its worker, and what that has told so far."""

    def __init__(self, task: Task, child: Child) -> None:
        self.task = task
        self.child = child
        self.watch = Watch(task[0].device, child.process.pid, task[0].threads)
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
            kinds = ("host_mib", "device_mib", "wait_s", "place_s")
            seen |= {f"block_{name}": answer[name] for name in kinds if name in answer}
            for name, value in seen.items():
                self.values.setdefault(name, []).append(value)
        elif turn == "evaluate":
            reaching.note(self.task[0], self.values, answer)
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
        steps, warmup_s = warm_up_steps(self.task[0].steps), self.values["warmup_s"]
        return warmup_s / steps if warmup_s else self.values["first_step_s"]

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
