"""How the learning rate changes in the course of a training run, and whether its images do."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np


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
# mirrored images.
RECIPES = {"constant": Recipe(), "article": Recipe(parts=4, divisor=3.0, augmented=True)}


def stretches(rates: Iterable[float]) -> Iterator[tuple[float, int]]:
    """Consecutive steps of one learning rate: the rate, and the number of steps at it."""
    for rate, equal in groupby(rates):
        yield rate, len(list(equal))
