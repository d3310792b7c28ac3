"""What a process counts of its own memory, and whether its framework would use a GPU."""

import os
import subprocess
import sys

import numpy as np
import pytest

from bench import memory


def test_memory_that_is_used_is_counted() -> None:
    before = memory.host_mib()
    block = np.ones(200 * memory.MIB // 8)
    assert memory.host_mib() > before + 150
    assert memory.host_peak_mib() >= memory.host_mib() - 1
    del block


@pytest.mark.parametrize("backend", ["torch", "tensorflow", "jax"])
def test_a_backend_without_a_gpu_is_not_taken_for_one_with(backend: str) -> None:
    hidden = os.environ | {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cuda"}
    program = f"from bench import memory; print(memory.finds_cuda({backend!r}))"
    command = [sys.executable, "-c", program]
    found = subprocess.run(command, env=hidden, capture_output=True, text=True)
    assert found.stdout == "False\n"
