"""What fits into a wall time: which contenders, how many steps, in three processes each.

First all contenders with as few steps as make ten blocks that a clock can tell; where that does not
fit, contenders are left out, those first that are not the only one of their backend, the slowest to
start first. Then steps grow, up to the profile's. Time that is left goes to more processes, while
the run goes on (`bench.run.budgeted`).
"""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from bench.cells import Cell
from bench.errors import UsageError
from bench.parent.measurement import MIN_BLOCKS
from bench.plan.costs import Costs, task_s
from bench.plan.estimate import Estimator, assumed
from bench.plan.observed import timed_steps
from bench.records.run import LeftOut

PROCESSES = 3  # fewer have no verdict worth its name
LEAST_BLOCK_S = 0.1
REPORTS = 0.05  # of the budget, for the reports at the end

Before = Callable[[Sequence[Cell]], float]  # cells -> seconds before the first of them is measured


@dataclass(frozen=True)
class Fit:
    """What is measured within a budget, and what is not."""

    cells: tuple[Cell, ...]  # of so many `steps`
    steps: int
    left_out: tuple[LeftOut, ...]
    estimated_s: float


def fit(
    cells: Sequence[Cell], known: Estimator, budget_s: float, before: Before, processors: int
) -> Fit:
    """What fits of `cells`, which all can run here.

    Raises UsageError where not even one contest of two contenders is known to.
    """
    if not cells:
        return Fit((), 1, (), 0.0)
    costs = {cell: known.costs(cell) or assumed(cell) for cell in cells}
    most, least = cells[0].steps, min(cells[0].steps, least_steps(costs))

    def total_s(kept: Iterable[Cell], steps: int) -> float:
        kept = list(kept)
        return before(kept) + measuring_s(kept, steps, costs, range(PROCESSES), processors)

    usable_s = budget_s * (1 - REPORTS)
    kept, left_out = list(cells), []
    while total_s(kept, least) > usable_s:
        start_s = {cell: _start_s(cell, costs[cell]) for cell in kept}
        label = droppable(kept, start_s)
        if label is not None:
            slow_s = sum(start_s[cell] for cell in kept if cell.label == label)
            reason = f"not all fit into {budget_s:.0f} s, and it takes {slow_s:.1f} s to start"
            left_out.append(LeftOut(what=label, reason=reason))
            kept = [cell for cell in kept if cell.label != label]
            continue
        contests = list(dict.fromkeys(cell.contest for cell in kept))
        if len(contests) == 1:
            if not all(costs[cell].known for cell in kept):
                break  # an assumption refuses nothing; the first replicate will tell
            need_s = math.ceil(total_s(kept, least) / (1 - REPORTS))
            names = " and ".join(dict.fromkeys(cell.label for cell in kept))
            raise UsageError(
                f"--budget {budget_s:.0f}s: {PROCESSES} processes each of {names} take about "
                f"{need_s} s, certificates included; give --budget {need_s}s or more"
            )
        last = [cell for cell in kept if cell.contest == contests[-1]]
        label = replace(last[0], steps=least).contest_label
        reason = f"no time is left for this contest in {budget_s:.0f} s"
        left_out.append(LeftOut(what=label, reason=reason))
        kept = [cell for cell in kept if cell.contest != contests[-1]]
    steps = next(n for n in range(most, least - 1, -1) if n == least or total_s(kept, n) < usable_s)
    # a contest is known by its steps, which have grown
    told = [replace(o, what=o.what.replace(f"{least} steps", f"{steps} steps")) for o in left_out]
    chosen = tuple(replace(cell, steps=steps) for cell in kept)
    return Fit(chosen, steps, tuple(told), total_s(kept, steps))


def least_steps(costs: dict[Cell, Costs]) -> int:
    """Steps of ten blocks of LEAST_BLOCK_S each, for the typical cell of the quickest contest."""
    contests: dict[object, list[float]] = {}
    for cell, found in costs.items():
        contests.setdefault(cell.contest, []).append(found.step_s)
    step_s = min(statistics.median(each) for each in contests.values())
    timed = MIN_BLOCKS * max(1, math.ceil(LEAST_BLOCK_S / step_s))
    steps = timed + 1
    while timed_steps(steps) < timed and steps < costs_steps(costs):
        steps += 1
    return steps


def costs_steps(costs: Iterable[Cell]) -> int:
    """The steps that the cells were to have."""
    return max(cell.steps for cell in costs)


def measuring_s(
    cells: Iterable[Cell],
    steps: int,
    costs: dict[Cell, Costs],
    replicates: Iterable[int],
    processors: int,
) -> float:
    """Seconds to measure cells, with so many steps, in these replicates."""
    chosen = {replace(cell, steps=steps): costs[cell] for cell in cells}
    every = list(replicates)
    found = (task_s(cell, number, chosen, processors) for cell in chosen for number in every)
    return sum(sum((each or {}).values()) for each in found)


def droppable(cells: Sequence[Cell], start_s: dict[Cell, float]) -> str | None:
    """The label of the contender to do without; None where each contest needs all that it has."""
    contenders = list(dict.fromkeys((cell.label, cell.backend) for cell in cells))
    backends = [backend for _, backend in contenders]
    before = _sizes(cells)
    able = []
    for label, backend in contenders:
        after = _sizes([cell for cell in cells if cell.label != label])
        if all(after.get(contest, 0) >= min(2, size) for contest, size in before.items()):
            slow_s = sum(start_s[cell] for cell in cells if cell.label == label)
            able.append((backends.count(backend) > 1, slow_s, label))
    return max(able)[2] if able else None


def _sizes(cells: Iterable[Cell]) -> dict[object, int]:
    sizes: dict[object, int] = {}
    for cell in cells:
        sizes[cell.contest] = sizes.get(cell.contest, 0) + 1
    return sizes


def _start_s(cell: Cell, costs: Costs) -> float:
    return costs.import_s + costs.build_s + costs.first_step_s
