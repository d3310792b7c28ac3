"""What became of a task: the answers of its worker, and what its parent saw of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.cells import Cell
from bench.machine.state import AroundBlock, MachineState
from bench.parent.to_target import Approach
from bench.records.record import Status
from bench.worker.protocol import BlockTimed, Built, Finished, WarmedUp

Task = tuple[Cell, int]  # a cell and its replicate


@dataclass(frozen=True)
class BlockSeen:
    """One block: how many steps it had, the worker's answer, and the machine meanwhile."""

    steps: int
    timed: BlockTimed
    around: AroundBlock

    @property
    def step_s(self) -> float:
        """Seconds per step."""
        return self.timed.block_s / self.steps


@dataclass(frozen=True)
class Outcome:
    """What became of a task; an answer that never came is None, or missing in its sequence."""

    status: Status
    reason: str | None = None
    cohort: str | None = None  # processes of the same cohort were measured side by side
    compile_cache_warm: bool | None = None  # an earlier process of the cell had filled it
    built: Built | None = None
    built_alone: bool = True  # no other worker was built at the same time, and we were not stopped
    warmed_up: WarmedUp | None = None
    warm_up_stopped: bool = False  # this process was stopped meanwhile, and its times may hold that
    blocks: tuple[BlockSeen, ...] = ()
    approach: Approach | None = None  # to a target accuracy, where there is one
    finished: Finished | None = None
    weights_file: Path | None = None  # the trained weights, where they were saved
    latency_ms: tuple[float, ...] = ()
    machine_state: MachineState = field(default_factory=MachineState)
    steady: bool | None = None
    communication_share: float | None = None
    # seconds that the parent waited for each kind of request, by its name
    request_s: Mapping[str, float] = field(default_factory=dict)
