"""A plain feeder: one thread cuts the next batches out with NumPy while the current one is used."""

import threading
from collections.abc import Iterator
from queue import Queue

import numpy as np

from bench.data.augmentation import Batch, Draw, cut

AHEAD = 2  # batches that wait at most


def feed(
    images: np.ndarray, labels: np.ndarray, draws: Iterator[Draw], processors: int
) -> Iterator[Batch]:
    """The batches of `draws`; one thread makes them, however many `processors` there are.

    What goes wrong in the thread is raised where its batch is awaited.
    """
    ready: Queue[Batch | BaseException | None] = Queue(AHEAD)

    def work() -> None:
        try:
            for draw in draws:
                ready.put((cut(images, draw), labels[draw.index]))
            ready.put(None)
        except BaseException as error:
            ready.put(error)

    threading.Thread(target=work, daemon=True).start()
    return _taken(ready)


def _taken(ready: "Queue[Batch | BaseException | None]") -> Iterator[Batch]:
    while (batch := ready.get()) is not None:
        if isinstance(batch, BaseException):
            raise batch
        yield batch
