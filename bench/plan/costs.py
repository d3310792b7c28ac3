"""The wall time of one process of a cell, request by request.

The model follows what a worker does (`bench.worker.measured`), in the units of the cell's own step:

| request | seconds |
| --- | --- |
| build | START_S to start the interpreter and map the data, then import and build |
| warm_up | the first step, and the steps of the warm-up |
| block | all other steps |
| evaluate | train-to: the test images once after each block |
| finish | training: the test images once, by `predict`, which compiled modes compile first |
| latency | the single steps, and one that is not timed in each round |
| audit | some steps four times; of inference, by `predict` six times too |

START_S, PREDICT_COMPILE and SIDE_BY_SIDE are what was left over in the published runs: the wall
time of a cohort is the time between the last record of the cohort before and its own last, and the
records say how long imports, builds, first steps, warm-ups, blocks and latency took in it. What the
table adds to these leaves -0.4 to 0.5 s per process of first replicates, whose networks are built
one by one, of cohorts of 85 to 240 s. Builds two by two, in the replicates after, take 0.55 to 0.8
of that. Records that hold the wall seconds of each request can take the place of these constants in
`requests_s` alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.analysis.latency import latency_rounds
from bench.cells import TRAINING, Cell
from bench.data.datasets import images_tested
from bench.machine.devices import DEVICES
from bench.parent.measurement import MIN_BLOCKS, times_itself, warm_up_s, warm_up_steps
from bench.plan.observed import timed_steps

START_S = 0.4
PREDICT_COMPILE = 0.15  # of a first step of training, which compiles the backward pass too
SIDE_BY_SIDE = 0.65  # of the time one by one, where two networks are built at once
FORWARD = 1 / 3  # of a training step
PROBED_S, MOST_PROBED = 0.025, 10  # as `bench.worker.audit` probes
STRETCH_S, REPEATS = 0.1, 5  # as `bench.worker.communication` does


@dataclass(frozen=True)
class Costs:
    """What one process of a cell costs on this machine; by what that is known."""

    import_s: float
    build_s: float
    first_step_s: float
    step_s: float
    evaluation_s: float | None  # of one evaluation of train-to; None: as the model has it
    steps_to_target: int | None  # of train-to; None: its cap
    memory_mib: float | None  # of the host, at its peak
    basis: str  # one of BASES

    @property
    def known(self) -> bool:
        """Whether it is more than an assumption."""
        return self.basis != "assumed"


BASES = {
    "measured here": "the same cell was measured on this machine",
    "measured elsewhere": "the same cell was measured on another machine, scaled to this one",
    "scaled": "from another batch, network, workload or precision of the same contender",
    "guessed": "from another implementation or mode on the same backend",
    "assumed": "nothing is known of it",
}


def requests_s(cell: Cell, costs: Costs) -> dict[str, float]:
    """Wall seconds of each kind of request to one process, which is built beside no other."""
    training, step_s = cell.workload in TRAINING, costs.step_s
    predict_s = step_s * (FORWARD if training else 1.0)
    tested_s = -(-(images_tested(cell) or 0) // cell.batch_size) * predict_s
    compile_s = PREDICT_COMPILE * max(0.0, costs.first_step_s - step_s) * (cell.mode != "eager")
    probed = min(MOST_PROBED, max(1, round(PROBED_S / step_s)))
    several = (cell.world_size or 1) > 1
    exchange_s = 2 * (REPEATS + 1) * max(STRETCH_S, step_s) if several else 0.0
    found = {
        "build": START_S + costs.import_s + costs.build_s,
        "audit": (4 * probed if training else 4 * probed + 7) * step_s + exchange_s,
    }
    if cell.target_accuracy is not None:
        steps = min(cell.steps, costs.steps_to_target or cell.steps)
        evaluations = -(-steps // (cell.evaluate_every or cell.steps))
        each_s = tested_s if costs.evaluation_s is None else costs.evaluation_s
        return found | {
            "warm_up": costs.first_step_s + compile_s + each_s,
            "block": max(0, steps - 1) * step_s,
            "evaluate": evaluations * each_s,
            "finish": each_s,
        }
    turns = latency_rounds(cell.steps, step_s)
    warm_s, timed_s = warm_up_steps(cell.steps) * step_s, timed_steps(cell.steps) * step_s
    if times_itself(cell):  # the warm-up doubles its steps until two stretches are long
        warm_s = max(warm_s, 2 * warm_up_s(cell))
        timed_s = MIN_BLOCKS * max(step_s, DEVICES[cell.device].block_s)
    return found | {
        "warm_up": costs.first_step_s + warm_s,
        "block": timed_s,
        "finish": tested_s + compile_s if training or cell.weights else 0.0,
        "latency": (sum(turns) + len(turns)) * step_s,
    }


def side_by_side(at_once: int) -> float:
    """What a build costs, of its time alone, where so many run at once."""
    return 1 / (1 + (1 / SIDE_BY_SIDE - 1) * (at_once - 1))


def cohorts(memory_mib: Sequence[float], available_mib: float) -> int:
    """Into how many cohorts memory splits workers of these sizes, as `MemoryBudget` does."""
    count, used, largest = 1, 0.0, 0.0
    for size in memory_mib:
        if used and used + max(largest, size) > available_mib:
            count, used, largest = count + 1, 0.0, 0.0
        used, largest = used + size, max(largest, size)
    return count


def task_s(
    cell: Cell, replicate: int, costs: Mapping[Cell, Costs | None], processors: int
) -> dict[str, float] | None:
    """Wall seconds of each request of one process in its cohort; None where nothing is known."""
    known = costs.get(cell)
    if known is None:
        return None
    first, later = processes_s(cell, known, processors)
    return later if replicate else first


def processes_s(
    cell: Cell, costs: Costs, processors: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Wall seconds of each request of the first replicate, and of each of those after it."""
    found = requests_s(cell, costs)
    build_s = found["build"] * side_by_side(cell.threads or processors)
    return found, {**found, "build": build_s}
