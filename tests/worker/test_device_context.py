"""Work that a device has left when a block has ended. No GPU is here: a driver that is called as
CUDA's stands in for one, and a thread for its queue.
"""

import ctypes
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import sleep
from typing import Any

import pytest

from bench.cells import Cell
from bench.worker import device_context
from bench.worker.device_context import CudaContext, HipContext
from bench.worker.measured import MeasuredCell

MakeCell = Callable[..., Cell]
MakeFaulty = Callable[[str, str], Path]

# As fast as a GPU's small batches: ten steps take half of what the clock of a call can tell
QUEUED = """

def __init__(self, *arguments, **options):
    from concurrent.futures import ThreadPoolExecutor

    super().__init__(*arguments, **options)
    self.queue = ThreadPoolExecutor(max_workers=1)

def train(self, steps):
    self.tensors = {name: value + np.float32(0.01) for name, value in self.tensors.items()}
    self.last = self.queue.submit(time.sleep, 1e-4 * steps)
    return np.ones(steps, np.float32)

def infer(self, steps):
    self.last = self.queue.submit(time.sleep, 1e-4 * steps)
    return super().infer(1)
"""
WAITS = """
def train(self, steps):
    losses = super().train(steps)
    self.last.result()
    return losses

def infer(self, steps):
    logits = super().infer(steps)
    self.last.result()
    return logits
"""


class Queue:
    """The device context of an implementation whose device is a thread. An idle one answers at
    once: no other thread has to wake up for it.
    """

    def __init__(self, implementation: Any) -> None:
        self.implementation = implementation

    def synchronize(self) -> None:
        self.implementation.last.result()


def audited(cell: Cell, folder: Path) -> tuple[MeasuredCell, tuple[str, ...]]:
    measured = MeasuredCell(cell, folder)
    measured.build()
    measured.context = Queue(measured.implementation)
    measured.warm_up(2)
    blocks = [measured.block(100) for _ in range(5)]
    assert all(block.left_s is not None for block in blocks)
    return measured, measured.audit(1e-4).faults


@pytest.mark.parametrize("workload", ["train", "infer"])
def test_small_batches_that_nobody_waits_for_are_caught_and_those_waited_for_are_not(
    workload: str, make_cell: MakeCell, faulty: MakeFaulty, digits: Path
) -> None:
    early = faulty("early", QUEUED)
    honest = early.with_name("honest.py")
    body = early.read_text().replace("class Implementation(Good)", "class Early(Good)")
    indented = "\n".join("    " + line for line in WAITS.splitlines())
    honest.write_text(f"{body}\n\nclass Implementation(Early):\n{indented}\n")
    options = {"workload": workload, "batch_size": 4, "steps": 600}
    _, faults = audited(make_cell(early, **options), digits)
    [fault] = [fault for fault in faults if fault.startswith(f"the blocks of {workload}")]
    assert fault.endswith("on the device: have it wait until the device is idle")
    assert not any(f"{workload}(10) returned with" in fault for fault in faults)  # too quick for it
    _, faults = audited(make_cell(honest, **options), digits)
    assert not any("of their work still to do" in fault for fault in faults)


class Driver:
    """Answers as CUDA's driver does, and notes the calls; `busy_s` is what it has left to do."""

    def __init__(self, **statuses: int) -> None:
        self.statuses, self.calls, self.busy_s = statuses, [""], 0.0

    def __getattr__(self, name: str) -> Callable[..., int]:
        return partial(self.call, name)

    def call(self, name: str, *arguments: object) -> int:
        self.calls.append(name)
        if name == "cuCtxSynchronize":
            sleep(self.busy_s)
            self.busy_s = 0.0
        return self.statuses.get(name, 0)


def test_the_primary_context_is_current_only_while_it_is_waited_for() -> None:
    driver = Driver()
    context = CudaContext(driver)
    assert driver.calls[1:] == ["cuInit", "cuDeviceGet", "cuDevicePrimaryCtxRetain"]
    driver.calls.clear()
    context.synchronize()
    assert driver.calls == ["cuCtxPushCurrent_v2", "cuCtxSynchronize", "cuCtxPopCurrent_v2"]


def test_what_is_left_is_told_apart_from_what_it_takes_to_ask() -> None:
    driver = Driver()
    context = CudaContext(driver)
    driver.busy_s = 0.05
    assert device_context.left_s(context) > 0.04
    assert device_context.left_s(context) < 0.04


def test_a_driver_that_fails_is_no_context() -> None:
    with pytest.raises(OSError, match="cuDeviceGet failed with CUDA's error 101"):
        CudaContext(Driver(cuDeviceGet=101))
    with pytest.raises(OSError, match="cuCtxSynchronize failed"):
        CudaContext(Driver(cuCtxSynchronize=700)).synchronize()
    with pytest.raises(OSError, match="HIP's error 1"):
        HipContext(Driver(hipDeviceSynchronize=1)).synchronize()


def test_where_there_is_no_driver_there_is_no_context(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert [device_context.of(name) for name in ("cpu", "cuda", "rocm")] == [None] * 3
