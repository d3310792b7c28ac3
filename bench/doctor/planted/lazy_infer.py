"""Inference hands out the logits of the first images, whatever images come."""

from bench.doctor.planted import honest


class Implementation(honest.Implementation):
    first = None

    def infer(self, steps):
        if self.first is None:
            self.first = super().infer(1)
        return self.first
