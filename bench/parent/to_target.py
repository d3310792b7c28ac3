"""Training until the test images are classified well enough.

A cell trains in blocks of `evaluate_every` steps, and is evaluated after each, while no clock runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.cells import Cell
from bench.worker.protocol import Evaluated


def of_process(cell: Cell, replicate: int) -> Cell:
    """The cell that a process trains: to a target, each begins from a seed of its own, since the
    number of steps varies with it.
    """
    if cell.target_accuracy is None:
        return cell
    return replace(cell, seed=cell.seed + replicate)


def blocks(cell: Cell) -> list[int]:
    """Steps of each block, so that evaluations come after every `evaluate_every` steps and after
    the last; the first step, which is timed apart, is missing in the first block.
    """
    every = cell.evaluate_every or cell.steps
    ends = [*range(every, cell.steps, every), cell.steps]
    found = [end - begin for begin, end in zip([1, *ends], ends, strict=False)]
    return [steps for steps in found if steps]


@dataclass(frozen=True)
class Approach:
    """How close a process has come to its target accuracy."""

    target: float
    evaluations: tuple[Evaluated, ...]  # one after each block
    steps: int  # that have been trained
    train_s: float  # of training alone, first step included

    @property
    def reached(self) -> bool:
        """Whether the last evaluation was at the target."""
        return bool(self.evaluations) and self.evaluations[-1].accuracy >= self.target

    @property
    def accuracies(self) -> tuple[float, ...]:
        """Of each evaluation, fractions of the test images."""
        return tuple(each.accuracy for each in self.evaluations)

    @property
    def evaluation_s(self) -> float | None:
        """Seconds of all evaluations; None where there was none."""
        return sum(each.evaluation_s for each in self.evaluations) if self.evaluations else None

    @property
    def shortfall(self) -> str | None:
        """How far it has come, where the target is not reached."""
        if self.reached or not self.evaluations:
            return None
        return (
            f"not reached: test accuracy {max(self.accuracies):.4g} at best in {self.steps} "
            f"steps, of the target {self.target:.4g}"
        )


def approach(
    target: float,
    first_step_s: float,
    timed: Sequence[tuple[int, float]],
    evaluations: Sequence[Evaluated],
) -> Approach:
    """How close a process has come by its blocks, each as (steps, seconds).

    A block that was not evaluated does not count.
    """
    counted = timed[: len(evaluations)]
    return Approach(
        target,
        tuple(evaluations),
        1 + sum(steps for steps, _ in counted),
        first_step_s + sum(seconds for _, seconds in counted),
    )
