"""Who else uses the processors and the chip of a run, by name: looked at before it measures.

The look takes as long as what comes before the first measurement, such as certificates: processor
time is read at its beginning and at its end. Of each worker's blocks, `state.Watch` counts what
others take together, without names.
"""

import os
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import psutil

from bench.machine import cpus, devices
from bench.records.run import Neighbour

NAMED = 5  # of them in a line
LEAST_CORES = 0.05
LEAST_S = 0.3  # of a look: processor time is counted in steps of 10 ms

Processor = dict[tuple[int, float], float]  # a process's number and begin -> s that it has taken


class Look:
    """A look at the other processes of this machine, and at those on the chips of `devices`."""

    def __init__(self, devices: Iterable[str]) -> None:
        self.devices = tuple(devices)
        self.began_s = time.monotonic()
        self.before = _processor_s()
        # None of these is ours: no worker has started
        self.on_chips = set(_mib_on_chips(self.devices))

    def end(self) -> tuple[Neighbour, ...]:
        """Those that took LEAST_CORES or more since the beginning, of processors that we may use,
        and those that were on a chip all the time; who takes most comes first.

        Short of LEAST_S, it sleeps until then.
        """
        time.sleep(max(0.0, self.began_s + LEAST_S - time.monotonic()))
        window_s = time.monotonic() - self.began_s
        took_s = {
            pid: after_s - self.before.get((pid, began), 0.0)
            for (pid, began), after_s in _processor_s().items()
        }
        ours = _own()
        cores = {
            pid: seconds / window_s
            for pid, seconds in took_s.items()
            if pid not in ours and seconds / window_s >= LEAST_CORES and _meets_us(pid)
        }
        chips_mib = {
            pid: mib for pid, mib in _mib_on_chips(self.devices).items() if pid in self.on_chips
        }
        now = datetime.now(UTC).isoformat(timespec="seconds")
        found = [
            Neighbour(
                name=_name(pid),
                pid=pid,
                cores=took_s[pid] / window_s if pid in took_s else None,
                on_device=pid in chips_mib,
                device_mib=chips_mib.get(pid),
                utc=now,
            )
            for pid in cores.keys() | chips_mib.keys()
        ]
        return tuple(sorted(found, key=lambda each: (-(each.cores or 0.0), each.pid)))


def told(found: Sequence[Neighbour]) -> str | None:
    """One line that names them; None where there is none."""
    if not found:
        return None
    first = ", ".join(each.described for each in found[:NAMED])
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return f"others use this machine, which may make results worse: {first}{more}"


def _processor_s() -> Processor:
    """Of all processes that we can see; those of which the system tells nothing are left out."""
    found: Processor = {}
    for process in psutil.process_iter(["pid", "create_time", "cpu_times"]):
        about = process.info
        if about["cpu_times"] is not None and about["create_time"] is not None:
            found[about["pid"], about["create_time"]] = sum(about["cpu_times"][:2])
    return found


def _own() -> set[int]:
    """This process and all that it started."""
    this = psutil.Process()
    return {this.pid, *(child.pid for child in this.children(recursive=True))}


def _meets_us(pid: int) -> bool:
    """Whether a process may run on a processor that we may use."""
    if not hasattr(os, "sched_getaffinity"):
        return True
    try:
        return not os.sched_getaffinity(pid).isdisjoint(cpus.allowed())
    except OSError:  # it has ended, and was there until now
        return True


def _mib_on_chips(kinds: Iterable[str]) -> dict[int, float | None]:
    """Process -> its memory on the chips that workers compute on, in MiB; None: not known."""
    found: dict[int, float | None] = {}
    for kind in kinds:
        if chip := devices.chip(kind):
            found |= chip.processes_mib()
    return found


def _name(pid: int) -> str:
    try:
        return psutil.Process(pid).name() or "unknown"
    except psutil.Error:  # it has ended, or the driver knows it by its number outside a container
        return "unknown"
