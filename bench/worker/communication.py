"""What part of a step goes by for exchange between ranks, measured outside all that is timed.

The same steps are taken with nothing to exchange: each rank trains on its own part of the batches,
all at the same time. What a step takes beyond that is communication which no computation hides, and
the time in which ranks wait for each other.
"""

import statistics
from collections.abc import Callable
from time import perf_counter

from resnet_impls.contract import Implementation

STRETCH_S = 0.1  # of steps, with exchange and without
REPEATS = 5  # of both, in turn, so that a drift of the machine meets both


def share(implementation: Implementation, step_s: float) -> float | None:
    """The part of a step, 0 to 1 but for noise; None where nothing trains without exchange.

    `step_s` is the measured time of a step. What was trained is of no use afterwards.
    """
    alone = getattr(implementation, "train_alone", None)
    if alone is None:
        return None
    steps = max(1, round(STRETCH_S / step_s))
    alone(steps)  # which may build and compile
    implementation.train(steps)
    without = [
        _seconds(alone, steps) / _seconds(implementation.train, steps) for _ in range(REPEATS)
    ]
    return 1 - statistics.median(without)


def _seconds(call: Callable[[int], object], steps: int) -> float:
    start = perf_counter()
    call(steps)
    return perf_counter() - start
