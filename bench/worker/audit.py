"""Whether a worker's times can be true: checks that it runs on itself, outside all that is timed.

Calls of an implementation must return when their work is done, training must move every parameter,
inference must compute what `predict` does, and nothing must be compiled after the warm-up. A device
that is waited for by its driver tells of steps that are too short for the clock of a call.
"""

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from bench.data.datasets import Dataset
from bench.worker.workloads import Infer, Train
from resnet_impls.architecture import Architecture
from resnet_impls.contract import skipped_steps
from resnet_impls.weights import Weights, fingerprint

EARLY = 0.2  # of the time of some steps: what may be left of it when the call has returned
NOTICEABLE_S = 0.002  # less is left to chance
REPEATS = 5  # each must show work left over, so that a moment's disturbance accuses nobody
LEFT = 0.01  # of a block: what a device may have left to do when the block has ended
SAME = 0.01  # of two calls for the same logits, which as a rule agree to the last digit
PROBED_S = 0.025  # steps of about so many seconds are probed, 1 to 10 of them
MOST_STEPS = 10

JAX_COMPILES = "/jax/core/compile/backend_compile_duration"


class Audit:
    """Begins before the first step, with the weights that the steps start from."""

    def __init__(self, architecture: Architecture, weights: Weights) -> None:
        self.start = {name: _print(weights[name]) for name in architecture.parameters}
        self.left: list[float] = []  # of each block, as a share of it

    def warm(self) -> None:
        """The warm-up is over: whatever compiles from now on does so while it is timed."""
        self.compilations = Compilations()

    def block(self, block_s: float, left_s: float) -> None:
        """A block has ended, and the device went on for `left_s` after it."""
        self.left.append(left_s / (block_s + left_s))

    def faults(
        self, workload: Train | Infer, data: Dataset, batch_size: int, step_s: float
    ) -> list[str]:
        """Why the measured times are not those of the work: a sentence for each reason.

        `step_s` is the measured time of a step. This runs more steps, so that the workload is of no
        use afterwards.
        """
        faults = []
        implementation = workload.implementation
        probe: Callable[[], object]  # reads something that depends on all steps before it
        if isinstance(workload, Train):
            call, probe = "train", implementation.weights
            faults += unmoved(self.start, implementation.weights())
            if skipped := skipped_steps(implementation):
                faults.append(
                    f"loss scaling skipped {skipped} step{'s' * (skipped > 1)}, which cost less "
                    "and taught nothing: have it begin with a lower scale"
                )
        else:
            images = data.test_images.take(range(batch_size), axis=0, mode="wrap")
            labels = data.test_labels.take(range(batch_size), mode="wrap")
            call, probe = "infer", partial(implementation.predict, images)
        if self.left and (share := statistics.median(self.left)) > LEFT:
            faults.append(
                f"the blocks of {call} ended with {share:.0%} of their work still to do on the "
                "device: have it wait until the device is idle"
            )
        steps = min(MOST_STEPS, max(1, round(PROBED_S / step_s)))
        left = work_left(lambda: workload.run(steps), probe)
        if left:
            faults.append(
                f"{call}({steps}) returned with {left:.0%} of its work still to do: have it wait "
                "until the device is idle"
            )
        if isinstance(workload, Infer):
            from bench.identity.checks import relative

            expected = implementation.predict(images)
            for caller in workload.callers:
                caller.place(images[None], labels[None])
            errors = [relative(caller.infer(1), expected) for caller in workload.callers]
            if wrong := [error for error in errors if not error <= SAME]:
                error = wrong[0]
                faults.append(
                    f"infer(1) returned logits {error:.0%} off those of predict: have it compute "
                    "the batch that was placed, in evaluation mode"
                )
        return faults


def unmoved(start: dict[str, str], weights: Weights) -> list[str]:
    """Says which parameters still have the fingerprints `start`; those not in `weights` do not
    count.
    """
    trained = [name for name in start if name in weights]
    stuck = [name for name in trained if _print(weights[name]) == start[name]]
    if not stuck:
        return []
    more = f" and {len(stuck) - 2} more" if len(stuck) > 2 else ""
    which = "all parameters" if stuck == trained else ", ".join(stuck[:2]) + more
    return [f"training left {which} unchanged: have train update every parameter"]


def work_left(run: Callable[[], object], probe: Callable[[], object]) -> float | None:
    """The share of its work that `run` leaves to be done after it has returned; None: too little.

    `probe` is timed right after `run`, where it has to wait for what is left, and a while after,
    when that is done. A call that was idle differs in nothing else: caches are as `run` left them.
    """
    run()
    probe()  # which may compile
    shares = []
    for _ in range(REPEATS):
        ran_s, at_once_s = _seconds(run), _seconds(probe)
        run()
        time.sleep(ran_s + 2 * at_once_s)
        left_s = at_once_s - _seconds(probe)
        if left_s < max(NOTICEABLE_S, EARLY * (ran_s + left_s)):
            return None
        shares.append(left_s / (ran_s + left_s))
    return min(shares)


class Compilations:
    """Counts what the frameworks in this process compile from now on."""

    def __init__(self) -> None:
        self.jax = 0
        if "jax" in sys.modules:
            import jax.monitoring

            jax.monitoring.register_event_duration_secs_listener(self._note)
        self.functions = _tensorflow_functions()
        self.frames = _torch_frames()

    @property
    def count(self) -> int | None:
        """Graphs of PyTorch, functions of TensorFlow and programs of JAX; None without these."""
        if not sys.modules.keys() & {"torch", "tensorflow", "jax"}:
            return None
        traced = _tensorflow_functions() - self.functions
        return self.jax + len(traced) + _torch_frames() - self.frames

    def _note(self, event: str, duration_s: float, **_: Any) -> None:
        self.jax += event == JAX_COMPILES


def _tensorflow_functions() -> set[str]:
    """The names of all functions that TensorFlow has traced: a new shape is a new function."""
    if "tensorflow" not in sys.modules:
        return set()
    from tensorflow.python.eager import context

    names = context.context().list_function_names()
    return {name for name in names if not name.startswith("__wrapped__")}  # a single operation


def _torch_frames() -> int:
    """How many pieces of Python PyTorch has compiled, a second time for a new shape."""
    if "torch._dynamo" not in sys.modules:
        return 0
    from torch._dynamo.utils import counters

    return int(counters["frames"]["total"])


def _print(value: Any) -> str:
    return fingerprint({"": value})


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
