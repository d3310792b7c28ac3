"""How the learning rate and the images change in the course of a training run."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

SHIFT = 4  # pixels by which an augmented image is moved at most, in each direction

Batch = tuple[np.ndarray, np.ndarray]  # images (B, H, W, 3) float32, labels (B,) int32


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


def augmented(
    images: np.ndarray, labels: np.ndarray, batch_size: int, seed: int
) -> Iterator[Batch]:
    """Full batches without end: each epoch in an order of its own, each image moved and mirrored.

    Every image is framed by SHIFT pixels of 0, the mean of standardised images, and cut out again
    anywhere; half of them are mirrored (He et al., arXiv:1512.03385, section 4.2). What comes
    depends on the arguments alone, so that every framework is given the same.
    """
    size = images.shape[1]
    stream = np.random.default_rng([seed, 1])
    while True:
        order = stream.permutation(len(labels))
        for start in range(0, len(labels) - batch_size + 1, batch_size):
            index = order[start : start + batch_size]
            frame = ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0))
            framed = np.pad(images[index], frame)
            corners = stream.integers(0, 2 * SHIFT + 1, (batch_size, 2))
            mirrored = stream.integers(0, 2, batch_size, bool)
            batch = np.empty_like(framed[:, :size, :size])
            for image, (top, left), mirror, cut in zip(
                framed, corners, mirrored, batch, strict=True
            ):
                moved = image[top : top + size, left : left + size]
                cut[:] = moved[:, ::-1] if mirror else moved
            yield batch, labels[index]
