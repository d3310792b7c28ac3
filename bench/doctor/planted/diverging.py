"""The loss is not a number from the fifth step on."""

import numpy as np

from bench.doctor.planted import honest


class Implementation(honest.Implementation):
    steps = 0

    def step(self, features, labels):
        self.steps += 1
        loss = super().step(features, labels)
        return np.float32("nan") if self.steps >= 5 else loss
