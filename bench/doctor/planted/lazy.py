"""Training computes losses and leaves the parameters as they are."""

from bench.doctor.planted import honest


class Implementation(honest.Implementation):
    def step(self, features, labels):
        before = self.weights()
        loss = super().step(features, labels)
        self.tensors = before
        return loss
