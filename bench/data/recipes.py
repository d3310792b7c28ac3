"""How the learning rate changes in the course of a training run, and whether its images do.

All rates are worked out here, one for each step, and every framework is given these numbers.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from bench.executables import Training
from resnet_impls.contract import Options


@dataclass(frozen=True)
class Recipe:
    """A run in `parts` of equal length: each has the learning rate of the one before / `divisor`.

    It scales with the number of steps, so that a short run sees the whole schedule too.
    """

    parts: int = 1
    divisor: float = 1.0
    augmented: bool = False

    def learning_rates(self, rate: float, steps: int) -> np.ndarray:
        """The learning rate of each step, (steps,) float64; the first is `rate`."""
        return rate / self.divisor ** (np.arange(steps) * self.parts // steps)


# The article's: Adam from 1e-3, divided by 3 every 20 epochs of 80, over randomly moved and
# mirrored images. `augmented` has these images alone, for a schedule to go with.
RECIPES = {
    "constant": Recipe(),
    "article": Recipe(parts=4, divisor=3.0, augmented=True),
    "augmented": Recipe(augmented=True),
}


def cosine(rate: float, steps: int) -> np.ndarray:
    """A linear warm-up in the first tenth of the steps, then half a cosine: (steps,) float64.

    As PyTorch's LinearLR from 1 / (warm-up + 1) and then CosineAnnealingLR: `rate` is reached by
    the first step after the warm-up, and 0 would be by the step after the last.
    """
    step, warm_up = np.arange(steps), steps // 10
    falling = (1 + np.cos(np.pi * (step - warm_up) / (steps - warm_up))) / 2
    return rate * np.where(step < warm_up, (step + 1) / (warm_up + 1), falling)


def one_cycle(rate: float, steps: int) -> np.ndarray:
    """From `rate` / 25 up to `rate` in three tenths of the steps, then down to `rate` / 250,000,
    both in a straight line: (steps,) float64.

    As PyTorch's OneCycleLR with `anneal_strategy="linear"` (Smith and Topin, arXiv:1708.07120).
    """
    step, last, peak = np.arange(steps), steps - 1, 0.3 * steps - 1
    first, least = rate / 25, rate / 25e4
    rising = first + (rate - first) * step / peak
    falling = rate + (least - rate) * (step - peak) / (last - peak)
    return np.where(step <= peak, rising, falling)


SCHEDULES = {"cosine": cosine, "one-cycle": one_cycle}


def learning_rates(training: Training, rate: float, steps: int) -> np.ndarray:
    """The learning rate of each step, (steps,) float64: by the schedule, or else by the recipe."""
    if training.schedule:
        return SCHEDULES[training.schedule](rate, steps)
    return RECIPES[training.recipe].learning_rates(rate, steps)


def options(training: Training, rates: np.ndarray) -> Options:
    """What an implementation is built with besides optimizer and rate; nothing by default. `rates`
    (steps,) are those of a schedule, if there is one.
    """
    found = Options()
    if training.weight_decay is not None:
        found["weight_decay"] = training.weight_decay
    if training.label_smoothing is not None:
        found["label_smoothing"] = training.label_smoothing
    if training.schedule:
        found["learning_rates"] = rates
    return found


def stretches(rates: Iterable[float]) -> Iterator[tuple[float, int]]:
    """Consecutive steps of one learning rate: the rate, and the number of steps at it."""
    for rate, equal in groupby(rates):
        yield rate, len(list(equal))
