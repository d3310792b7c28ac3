"""Calls return at once; a thread does the work, in order, as the queue of a GPU does."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from bench.doctor.planted import honest

STEP_S = 0.02


class Implementation(honest.Implementation):
    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        self.queue = ThreadPoolExecutor(max_workers=1)

    def place(self, images, labels):
        super().place(images, labels)
        self.batch_size = images.shape[1]

    def train(self, steps):
        self.queue.submit(self.work, super().train, steps)
        return np.ones(steps, np.float32)

    def infer(self, steps):
        self.queue.submit(self.work, super().infer, steps)
        return np.ones((self.batch_size, 10), np.float32)

    def work(self, call, steps):
        time.sleep(steps * STEP_S)
        call(steps)

    def predict(self, images):
        return self.queue.submit(super().predict, images).result()

    def weights(self):
        return self.queue.submit(super().weights).result()
