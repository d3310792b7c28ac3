"""What became of a task: the answers of its worker, and what its parent saw of them."""

from dataclasses import dataclass

from bench.cells import Cell
from bench.parent.to_target import Approach
from bench.records.record import Status
from bench.worker.protocol import BlockTimed, Built, Finished, WarmedUp

Task = tuple[Cell, int]  # a cell and its replicate


@dataclass(frozen=True)
class BlockSeen:
    """One block: how many steps it had, the worker's answer, and the machine meanwhile."""

    steps: int
    timed: BlockTimed
    own_cores: float | None = None  # processors that the worker kept busy
    other_cores: float | None = None  # and those that other processes did; None where nobody counts
    stolen_cores: float | None = None  # and those that the hypervisor took
    energy_j: float | None = None

    @property
    def step_s(self) -> float:
        """Seconds per step."""
        return self.timed.block_s / self.steps


@dataclass(frozen=True)
class MachineState:
    """How the processors fared over all blocks of a worker; None where it cannot be read."""

    load_1min: float | None = None  # before the first block
    cpu_mhz: float | None = None
    gpu_mhz: float | None = None
    temperature_c: float | None = None
    throttled: bool | None = None
    device_process_mib: float | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a task; an answer that never came is None, or missing in its sequence."""

    status: Status
    reason: str | None = None
    cohort: str | None = None  # processes of the same cohort were measured side by side
    built: Built | None = None
    built_alone: bool = True  # no other worker was built at the same time
    warmed_up: WarmedUp | None = None
    blocks: tuple[BlockSeen, ...] = ()
    approach: Approach | None = None  # to a target accuracy, where there is one
    finished: Finished | None = None
    latency_ms: tuple[float, ...] = ()
    machine_state: MachineState = MachineState()
    steady: bool | None = None
