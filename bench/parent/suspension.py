"""Whether a suspended worker is idle: the processor time that it and its offspring take meanwhile.

A signal to the worker's process group does not reach what it started in a session or group of its
own; such a process would go on computing while other workers are measured.
"""

import contextlib
import time

import psutil

FAULTY = 0.05  # of a core
TICK_S = 0.01  # processor time is counted in ticks, and a stop takes a moment: excused each time
LOOK_S = 1.0  # how often to look for offspring, which takes some ms


class Suspension:
    """What was seen of one worker, over all the times that it was suspended."""

    def __init__(self, pid: int) -> None:
        self.family = [psutil.Process(pid)]
        self.looked_s = float("-inf")
        self.began: tuple[float, dict[int, float]] | None = None
        self.suspended_s = 0.0
        self.computed_s = 0.0  # processor time within it
        self.excused_s = 0.0

    def begin(self) -> None:
        """The worker was just suspended."""
        now_s = time.monotonic()
        if now_s - self.looked_s > LOOK_S:
            self.looked_s = now_s
            worker = self.family[0]
            with contextlib.suppress(psutil.Error):  # a worker that has died has no offspring
                self.family = [worker, *worker.children(recursive=True)]
        self.began = now_s, self._processor_s()

    def end(self) -> None:
        """The worker is about to be resumed."""
        if self.began is None:
            return
        (began_s, before), after = self.began, self._processor_s()
        self.suspended_s += time.monotonic() - began_s
        self.computed_s += sum(after[pid] - before[pid] for pid in after.keys() & before.keys())
        self.excused_s += TICK_S
        self.began = None

    @property
    def fault(self) -> str | None:
        """What was seen that should not be, in words; None: it was idle."""
        if self.computed_s <= FAULTY * self.suspended_s + self.excused_s:
            return None
        return (
            f"computed for {self.computed_s:.1f} s of the {self.suspended_s:.1f} s that it was "
            "suspended, which also slows what is measured beside it: start no processes in "
            "sessions or groups of their own"
        )

    def _processor_s(self) -> dict[int, float]:
        times = {}
        for process in self.family:
            with contextlib.suppress(psutil.Error):  # it has ended
                times[process.pid] = sum(process.cpu_times()[:2])
        return times
