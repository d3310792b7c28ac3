"""The compiler of mode `compiled` is switched off by a variable, and PyTorch says nothing."""

import os

os.environ["TORCHDYNAMO_DISABLE"] = "1"  # as a user's shell may, before PyTorch reads it

import torch

from bench.doctor.planted import honest


class Implementation(honest.Implementation):
    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        self.double = torch.compile(lambda x: x + x)

    def step(self, features, labels):
        self.double(torch.zeros(1))
        return super().step(features, labels)
