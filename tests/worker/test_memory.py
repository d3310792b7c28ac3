"""What a process counts of its own memory, and whether its framework would use a GPU."""

import os
import subprocess
import sys

import pytest


def test_memory_that_is_used_is_counted() -> None:
    # in a process of its own: one that has freed much may take the block from what it still holds
    program = """
import numpy as np
from bench.worker import memory
before = memory.host_mib()
block = np.ones(200 * memory.MIB // 8)
print(before, memory.host_mib(), memory.host_peak_mib())
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    before, after, peak = map(float, found.stdout.split())
    assert before + 150 < after < before + 250
    assert peak >= after - 1


def test_what_the_parent_held_does_not_count() -> None:
    child = "from bench.worker import memory; print(memory.host_peak_mib())"
    parent = f"""
import subprocess, sys
block = b"1" * (300 * 2**20)
subprocess.run([sys.executable, "-c", {child!r}], process_group=0, check=True)
"""
    found = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True)
    assert 0 < float(found.stdout) < 200


@pytest.mark.parametrize("backend", ["torch", "tensorflow", "jax"])
def test_a_backend_without_a_gpu_is_not_taken_for_one_with(backend: str) -> None:
    hidden = os.environ | {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cuda"}
    program = f"from bench.worker import memory; print(memory.finds('cuda', {backend!r}))"
    command = [sys.executable, "-c", program]
    found = subprocess.run(command, env=hidden, capture_output=True, text=True)
    assert found.stdout == "False\n"
