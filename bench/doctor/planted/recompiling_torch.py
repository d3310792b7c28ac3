"""Every step has a shape of its own, for which PyTorch compiles anew."""

import torch

from bench.doctor.planted import honest

torch._dynamo.config.recompile_limit = 1000


class Implementation(honest.Implementation):
    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        self.steps = 0
        self.double = torch.compile(lambda x: x + x, backend="eager", dynamic=False)

    def step(self, features, labels):
        self.steps += 1
        self.double(torch.zeros(self.steps))
        return super().step(features, labels)
