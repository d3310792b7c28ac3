"""Which CPUs a worker may use, and how many threads its framework is told to start there."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from bench.errors import UsageError
from bench.machine import control_groups

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


SYSTEM = Path("/sys/devices/system/cpu")
STATISTICS = Path("/proc/stat")


def allowed() -> list[int]:
    """The CPUs that this process may use: first one of each core, then those that share one.

    No more of them than the quota of its control group lets it keep busy, one at least.
    """
    if not hasattr(os, "sched_getaffinity"):
        return list(range(os.cpu_count() or 1))
    seen: Counter[str] = Counter()
    order = []
    for number in sorted(os.sched_getaffinity(0)):
        core = _core(number)
        order.append((seen[core], number))
        seen[core] += 1
    return [number for _, number in sorted(order)][: quota()]


@cache
def quota() -> int | None:
    """How many whole CPUs the control group lets this process keep busy; None: no limit."""
    found = control_groups.cpus()
    return None if found is None else max(1, int(found))


def bound() -> str:
    """What decides how many CPUs `allowed` has: host, affinity or control group."""
    if not hasattr(os, "sched_getaffinity"):
        return "host"
    most = len(os.sched_getaffinity(0))
    if (found := quota()) is not None and found < most:
        return "control group"
    return "affinity" if most < (os.cpu_count() or 1) else "host"


@cache
def online() -> list[int]:
    """The numbers of the CPUs that the kernel counts the time of, in its order; they may have gaps.

    Empty where the system does not tell.
    """
    try:
        lines = STATISTICS.read_text().splitlines()
    except OSError:
        return []
    return [int(found[1]) for line in lines if (found := re.match(r"cpu(\d+) ", line))]


def cores() -> int:
    """On how many cores they lie: two threads of one core compute hardly faster than one, and
    frameworks start one by themselves.
    """
    if not hasattr(os, "sched_getaffinity"):
        import psutil

        return psutil.cpu_count(logical=False) or os.cpu_count() or 1
    return len({_core(number) for number in allowed()})


def _core(number: int) -> str:
    """The CPUs that share a core with one, as Linux lists them; where it does not, itself."""
    try:
        return (SYSTEM / f"cpu{number}/topology/thread_siblings_list").read_text()
    except OSError:
        return str(number)


def check(threads: Sequence[int]) -> None:
    """Raises UsageError where more threads are asked for than there are CPUs."""
    most = len(allowed())
    if (given := max(threads, default=0)) > most:
        why = "" if bound() == "host" else f" (by its {bound()})"
        raise UsageError(
            f"--threads {given}: this process may use {most} CPUs{why}; choose at most that"
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
    os.sched_setaffinity(0, allowed()[:threads])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
