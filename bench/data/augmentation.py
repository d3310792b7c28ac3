"""How images are moved and mirrored while training: the same way for every framework."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

SHIFT = 4  # pixels by which an augmented image is moved at most, in each direction

Batch = tuple[np.ndarray, np.ndarray]  # images (B, H, W, 3) float32, labels (B,) int32


@dataclass(frozen=True)
class Draw:
    """What chance says of one batch."""

    index: np.ndarray  # (B,) which images
    corners: np.ndarray  # (B, 2) where each is cut out of its frame, from the top and from the left
    mirrored: np.ndarray  # (B,) bool


def draws(count: int, batch_size: int, seed: int) -> Iterator[Draw]:
    """A draw for each full batch of `count` images, without end: every epoch in another order."""
    stream = np.random.default_rng([seed, 1])
    while True:
        order = stream.permutation(count)
        for start in range(0, count - batch_size + 1, batch_size):
            corners = stream.integers(0, 2 * SHIFT + 1, (batch_size, 2))
            mirrored = stream.integers(0, 2, batch_size, bool)
            yield Draw(order[start : start + batch_size], corners, mirrored)


def cut(images: np.ndarray, draw: Draw) -> np.ndarray:
    """The images (B, H, W, 3) of a draw, of all `images` (N, H, W, 3).

    Each is framed by SHIFT pixels of 0, the mean of standardised images, and cut out again where
    the draw says (He et al., arXiv:1512.03385, section 4.2).
    """
    size = images.shape[1]
    frame = ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0))
    framed = np.pad(images[draw.index], frame)
    batch = np.empty_like(framed[:, :size, :size])
    for image, (top, left), mirror, target in zip(
        framed, draw.corners, draw.mirrored, batch, strict=True
    ):
        moved = image[top : top + size, left : left + size]
        target[:] = moved[:, ::-1] if mirror else moved
    return batch


def augmented(
    images: np.ndarray, labels: np.ndarray, batch_size: int, seed: int
) -> Iterator[Batch]:
    """Full batches without end: each epoch in an order of its own, each image moved and mirrored.

    What comes depends on the arguments alone, so that every framework is given the same.
    """
    for draw in draws(len(labels), batch_size, seed):
        yield cut(images, draw), labels[draw.index]
