"""A task under way: its worker, the requests to it, and its answers so far."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from bench import signals
from bench.cells import TRAINING, Cell
from bench.machine.devices import DEVICES
from bench.machine.state import MachineState, Watch
from bench.parent import to_target
from bench.parent.child import Child, Failure
from bench.parent.outcome import BlockSeen, Outcome, Task
from bench.words import plural
from bench.worker.protocol import (
    Audit,
    Block,
    Build,
    Built,
    Evaluate,
    Evaluated,
    Finish,
    Finished,
    Latency,
    WarmedUp,
    WarmUp,
    WorkerRequest,
)

MIN_BLOCKS = 10  # where there are steps enough

OnRequest = Callable[[Task, str, int], None]  # a worker begins to answer: task, name, steps


class Measurement:
    """A task under way: its worker, and the worker's answers so far.

    Each method sends one request and keeps its answer. It returns False where the worker failed,
    which is then ended.
    """

    def __init__(
        self,
        task: Task,
        child: Child,
        timeout_s: float,
        on_request: OnRequest,
        compile_cache_warm: bool | None = None,
    ) -> None:
        self.task = task
        self.compile_cache_warm = compile_cache_warm
        self.child = child
        self.timeout_s = timeout_s
        self.on_request = on_request
        self.watch = Watch(task[0].device, child.process.pid, task[0].threads)
        self.failure: Failure | None = None
        self.faults: list[str] = []
        self.built: Built | None = None
        self.built_alone = True
        self.warmed_up: WarmedUp | None = None
        self.blocks: list[BlockSeen] = []
        self.evaluations: list[Evaluated] = []
        self.finished: Finished | None = None
        self.weights_file: Path | None = None  # where the trained weights are
        self.latency_ms: list[float] = []
        self.machine_state = MachineState()
        self.steady: bool | None = None
        self.communication_share: float | None = None
        self.request_s: dict[str, float] = {}  # wall seconds of each kind of request, by its name
        self.stopped: set[str] = set()  # kinds of requests during which this process was stopped
        self.left_out = 0  # blocks during which it was

    def begin_build(self, data_folder: Path) -> None:
        """Have the network built; `end_build` fetches the answer."""
        cell, replicate = self.task
        self.building = Build(
            cell=to_target.of_process(cell, replicate), data_folder=str(data_folder)
        )
        self.on_request(self.task, self.building.name, 0)
        self.child.begin(self.building)

    def end_build(self, *, alone: bool) -> bool:
        """Whether the network is built; `alone`: beside no other."""
        with self._ending_failed():
            stops = signals.stops()
            self.built = self.child.answer(self.building, self.timeout_s)
            self.built_alone = alone and signals.stops() == stops
        return self.failure is None

    def warm_up(self, steps: int) -> bool:
        """The first step, and `steps` more; inference on a fast device as many as fill a block."""
        request = WarmUp(steps=steps, least_s=warm_up_s(self.task[0]))
        with self._asking(request, steps):
            self.warmed_up = self.child.ask(request, self.timeout_s)
        return self.failure is None

    def block(self, steps: int) -> bool:
        """One timed block of `steps` steps, and what the machine did meanwhile."""
        request = Block(steps=steps)
        with self._asking(request, steps), signals.finishing():
            self.watch.begin()
            timed = self.child.ask(request, self.timeout_s)
            self.blocks.append(BlockSeen(steps, timed, self.watch.end(timed.cpu_s)))
        return self.failure is None

    def evaluate(self) -> bool:
        """The accuracy that the blocks so far led to."""
        request = Evaluate()
        with self._asking(request):
            self.evaluations.append(self.child.ask(request, self.timeout_s))
        return self.failure is None

    def finish(self, weights_file: Path | None) -> bool:
        """What all blocks led to; the weights go to a file where one is given."""
        request = Finish(weights_file=str(weights_file) if weights_file else None)
        with self._asking(request):
            self.machine_state = self.watch.summary()
            self.finished = self.child.ask(request, self.timeout_s)
            self.weights_file = weights_file
        return self.failure is None

    def latency(self, steps: int) -> bool:
        """`steps` single steps, each timed."""
        request = Latency(steps=steps)
        stops = None
        while self.failure is None and stops != signals.stops():  # samples with a stop are no good
            stops = signals.stops()
            with self._asking(request, steps):
                found = self.child.ask(request, self.timeout_s)
        if self.failure is None:
            self.latency_ms += found.latency_ms
        return self.failure is None

    def leave_out_block(self) -> bool:
        """Forget the last block, during whose round this process was stopped, as by Ctrl-Z: others
        may have had the machine. Returns whether it can be measured again; training cannot.
        """
        workload = self.task[0].workload
        if workload == "train-to":
            self.faults.append("this run was stopped while it trained, which its times may hold")
            return False
        self.blocks.pop()
        self.left_out += workload in TRAINING
        return workload not in TRAINING

    def audit(self) -> bool:
        """Whether the times can be true, by the worker's checks and by its suspensions."""
        request = Audit(step_s=self.step_s)
        with self._asking(request):
            audited = self.child.ask(request, self.timeout_s)
            self.faults += audited.faults
            self.communication_share = audited.communication_share
            if fault := self.child.suspension.fault:
                self.faults.append(fault)
        return self.failure is None

    def spend(self, request: str, seconds: float) -> None:
        """Add to the wall seconds of a kind of request."""
        self.request_s[request] = self.request_s.get(request, 0.0) + seconds

    @contextmanager
    def _asking(self, request: WorkerRequest[Any], steps: int = 0) -> Iterator[None]:
        """Announce a request that is made within, and count the time that it takes."""
        began_s, stops = monotonic(), signals.stops()
        self.on_request(self.task, request.name, steps)
        with self._ending_failed():
            yield
        if signals.stops() == stops:
            self.spend(request.name, monotonic() - began_s)
        else:
            self.stopped.add(request.name)

    @contextmanager
    def _ending_failed(self) -> Iterator[None]:
        """Keep the failure of the worker where it fails within, and end it."""
        try:
            yield
        except Failure as failure:
            self.child.end()
            self.failure = failure

    @property
    def host_mib(self) -> float:
        """Resident memory after the warm-up, when everything has been allocated."""
        assert self.warmed_up is not None
        return self.warmed_up.host_mib

    @property
    def block_step_s(self) -> list[float]:
        """Seconds per step of each block so far."""
        return [block.step_s for block in self.blocks]

    @property
    def step_s(self) -> float:
        """Seconds per step so far, in blocks or else while warming up: to choose lengths by."""
        if self.blocks:
            seconds = sum(block.timed.block_s for block in self.blocks)
            return seconds / sum(block.steps for block in self.blocks)
        assert self.warmed_up is not None
        return self.warmed_up.step_s or self.warmed_up.first_step_s

    @property
    def approach(self) -> to_target.Approach | None:
        """How close the worker has come to its target accuracy; None without a target."""
        cell = self.task[0]
        if cell.target_accuracy is None or self.warmed_up is None:
            return None
        timed = [(block.steps, block.timed.block_s) for block in self.blocks]
        return to_target.approach(
            cell.target_accuracy, self.warmed_up.first_step_s, timed, self.evaluations
        )

    def outcome(self, cohort: str) -> Outcome:
        """What has become of the task, whose worker is done or has failed."""
        approach = self.approach
        reason = "; ".join(self.faults) or (approach.shortfall if approach else None)
        if self.left_out and not reason:
            blocks = plural(self.left_out, "block")
            reason = f"{blocks} left out, since the run was stopped meanwhile"
        return Outcome(
            status=self.failure.status if self.failure else "uncertified" if self.faults else "ok",
            reason=self.failure.reason if self.failure else reason,
            cohort=cohort,
            compile_cache_warm=self.compile_cache_warm,
            built=self.built,
            built_alone=self.built_alone,
            warmed_up=self.warmed_up,
            warm_up_stopped=WarmUp.__struct_config__.tag in self.stopped,
            blocks=tuple(self.blocks),
            approach=approach,
            finished=self.finished,
            weights_file=self.weights_file,
            latency_ms=tuple(self.latency_ms),
            machine_state=self.machine_state,
            steady=self.steady,
            communication_share=self.communication_share,
            request_s=dict(self.request_s),
        )


def warm_up_steps(steps: int) -> int:
    """How many steps after the first are warm-up: a tenth of all, two where there are so few."""
    return max(steps // 10, min(2, (steps - 1) // 2))


def times_itself(cell: Cell) -> bool:
    """Whether the number of steps is free: inference on a fast device has no state, and blocks of
    as many steps as a slow one takes would be too short for its clocks and counters.
    """
    return cell.workload == "infer" and cell.device != "cpu"


def warm_up_s(cell: Cell) -> float:
    """Seconds that the warm-up lasts at least, where the number of its steps is free."""
    return DEVICES[cell.device].block_s if times_itself(cell) else 0.0


def split(steps: int, typical: int) -> list[int]:
    """`steps` in blocks of about `typical` steps, none more than one step longer than another."""
    blocks = max(1, min(steps, max(MIN_BLOCKS, round(steps / typical))))
    base, longer = divmod(steps, blocks)
    return [base + 1] * longer + [base] * (blocks - longer)
