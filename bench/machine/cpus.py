"""Which CPUs a worker may use, and how many threads its framework is told to start there."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bench.cells import UsageError

# What the runtimes read when they start: OpenMP (PyTorch, oneDNN), MKL, NumPy's OpenBLAS,
# TensorFlow's two pools, and XLA's pool on the CPU.
VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "NPROC",
)


def allowed() -> list[int]:
    """The CPUs that this process may use, in ascending order."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def check(threads: Sequence[int]) -> None:
    """Raises UsageError where more threads are asked for than there are CPUs."""
    most = len(allowed())
    if (given := max(threads, default=0)) > most:
        raise UsageError(
            f"--threads {given}: this process may use {most} CPUs; choose at most that"
        )


def variables(threads: int | None) -> dict[str, str]:
    """What the environment of a worker says of its threads; nothing where they are not chosen."""
    return dict.fromkeys(VARIABLES, str(threads)) if threads else {}


@contextmanager
def confined(threads: int | None) -> Iterator[None]:
    """Processes that are started in here may use the first `threads` allowed CPUs and no others.

    A process inherits the CPUs of the thread that starts it, so they are in force before it has
    imported anything. Where the system knows no affinity, as on macOS, only `variables` count.
    """
    if threads is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:threads])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
