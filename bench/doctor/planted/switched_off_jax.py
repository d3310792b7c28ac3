"""The compiler of mode `compiled` is switched off by a variable, and JAX says nothing."""

import os

os.environ["JAX_DISABLE_JIT"] = "1"  # as a user's shell may, before JAX reads it

import jax
import numpy as np

from bench.doctor.planted import honest


class Implementation(honest.Implementation):
    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        self.double = jax.jit(lambda x: x + x)

    def step(self, features, labels):
        self.double(np.zeros(1, np.float32))
        return super().step(features, labels)
