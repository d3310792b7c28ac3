"""Training until the test images are classified well enough: what an evaluation tells.

A cell trains in blocks of `evaluate_every` steps, and is evaluated after each, beside the clock.
"""

from dataclasses import replace
from typing import Any

from bench.cells import Cell


def of_process(cell: Cell, replicate: int) -> Cell:
    """What a process is given: training to a target begins from another seed in each, since the
    steps that it takes vary with that.
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


def note(cell: Cell, values: dict[str, Any], answer: dict[str, Any]) -> None:
    """Add an evaluation to what is known of a process, by the names of Record's fields.

    Until the target is reached, `reason` says how far it has got.
    """
    target = cell.target_accuracy
    assert target is not None
    accuracies = values.setdefault("accuracies", [])
    accuracies.append(answer["accuracy"])
    values["evaluation_s"] = values.get("evaluation_s", 0.0) + answer["evaluation_s"]
    steps = 1 + sum(values["block_steps"])
    if answer["accuracy"] >= target:
        values["reason"] = None
        values["reached_steps"] = steps
        values["reached_train_s"] = values["first_step_s"] + sum(values["block_s"])
    else:
        values["reason"] = (
            f"not reached: test accuracy {max(accuracies):.4g} at best in {steps} steps, of the "
            f"target {target:.4g}"
        )
