"""The memory that this process and those that it starts may use, and what bounds it."""

import os
import sys
from dataclasses import dataclass

import psutil

from bench.machine import control_groups

MIB = 2**20
SHARED = "/dev/shm"  # where processes of one DataLoader hand over their batches

HOST, GROUP, LIMIT = "host", "control group", "limit"


@dataclass(frozen=True)
class Bounded:
    """Some memory in MiB, and what bounds it: HOST, GROUP or LIMIT."""

    mib: float
    bound: str


def usable() -> Bounded:
    """The most that one process may ever use."""
    found = [Bounded(psutil.virtual_memory().total / MIB, HOST)]
    if group := control_groups.memory():
        found.append(Bounded(group.limit_mib, GROUP))
    if (limit := process_limit_mib()) is not None:
        found.append(Bounded(limit, LIMIT))
    return min(found, key=lambda each: each.mib)


def available() -> Bounded:
    """What is left now to this process and all others that it starts, together."""
    host = Bounded(psutil.virtual_memory().available / MIB, HOST)
    group = control_groups.memory()
    if group and group.available_mib < host.mib:
        return Bounded(group.available_mib, GROUP)
    return host


def process_limit_mib() -> float | None:
    """What each process may map by itself (`ulimit -v`, `ulimit -d`); None: all that it wants."""
    import resource

    kinds = (resource.RLIMIT_AS, resource.RLIMIT_DATA)
    limits = [resource.getrlimit(kind)[0] for kind in kinds]
    finite = [limit / MIB for limit in limits if 0 <= limit < 2**62]
    return min(finite, default=None)


def shared_mib() -> Bounded | None:
    """Free shared memory; None on systems that have no such folder."""
    if sys.platform != "linux":
        return None
    try:
        found = os.statvfs(SHARED)
    except OSError:
        return None
    return Bounded(found.f_bavail * found.f_frsize / MIB, SHARED)


def stated() -> str:
    """`its control group allows 700 MiB`: what a process that ran out of memory should know."""
    most = usable()
    who = {HOST: "this machine has", GROUP: "its control group allows"}
    return f"{who.get(most.bound, 'ulimit lets each process map')} {most.mib:,.0f} MiB"
