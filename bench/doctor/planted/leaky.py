"""Every step keeps 1 MiB for ever."""

import numpy as np

from bench.doctor.planted import honest


class Implementation(honest.Implementation):
    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        self.kept: list[np.ndarray] = []

    def step(self, features, labels):
        self.kept.append(np.ones(2**20, np.uint8))
        return super().step(features, labels)
