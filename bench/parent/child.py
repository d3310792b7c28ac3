"""One worker as its parent sees it: started, asked for turns, suspended between them, ended."""

import contextlib
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.cells import Cell
from bench.machine import cpus
from bench.parent.suspension import Suspension
from bench.worker.channel import Channel, ChannelClosed

# The positive numbers, or lists of them, that the answer to each turn must hold.
ANSWERS = {
    "build": ("import_s", "build_s", "host_baseline_mib"),
    "warm_up": ("first_step_s", "host_mib"),
    "block": ("block_s",),
    "evaluate": ("evaluation_s",),
    "finish": ("host_peak_mib",),
    "latency": ("latency_ms",),
    "audit": (),
    "certify": (),
    "describe": (),
    "probe": ("gflop_per_s", "copy_gb_per_s"),
}

# How often a waiting parent looks whether the worker still lives: a worker's own children may hold
# the channel open after its death.
LIFE_SIGN_S = 5.0
LAST_LOOK_S = 0.1  # for an answer that is there when the time is up, as after a stop by Ctrl-Z


class Failure(Exception):
    """A worker that will not answer any more: its `status` and `reason` for the record."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Child:
    """A worker process that runs only while it is asked something.

    It leads a process group within our session, so that a signal reaches whatever it starts, and
    the kernel ends a suspended group (SIGHUP, SIGCONT) should this process be killed. It may
    allocate `memory_mib` at most where that is given.
    """

    def __init__(
        self, cell: Cell, data_folder: Path | None, log: Path, memory_mib: float | None = None
    ) -> None:
        ours, theirs = socket.socketpair()
        self.cell = cell
        self.memory_mib = memory_mib
        self.channel = Channel(ours)
        self.ended = False
        self.temporary = tempfile.TemporaryDirectory(
            prefix="resnet-bench-",
            ignore_cleanup_errors=True,  # a process that is being killed may still write
        )
        with theirs, log.open("ab") as output, cpus.confined(cell.threads):
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bench.worker", str(theirs.fileno())],
                env={**os.environ, **environment(cell), **temporary_files(self.temporary.name)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[theirs.fileno()],
                process_group=0,
            )
        self.suspension = Suspension(self.process.pid)
        folder = data_folder and str(data_folder)
        self.channel.send({"cell": cell.as_dict(), "data_folder": folder, "memory_mib": memory_mib})

    def ask(self, turn: str, timeout_s: float, **request: Any) -> dict[str, Any]:
        """Let the worker run for one turn, and return its answer.

        Raises Failure where the worker reports an error, dies, gives no answer in `timeout_s`
        seconds, or answers nonsense.
        """
        self.begin(turn, **request)
        return self.answer(turn, timeout_s)

    def begin(self, turn: str, **request: Any) -> None:
        """Let the worker run for one turn, whose `answer` is to be fetched."""
        self.suspension.end()
        self._signal(signal.SIGCONT)
        with contextlib.suppress(ChannelClosed):  # `answer` will say so
            self.channel.send({"turn": turn, **request})

    def answer(self, turn: str, timeout_s: float) -> dict[str, Any]:
        """What comes of the turn that was begun, as `ask` returns it; the worker is suspended."""
        try:
            answer = self._wait(time.monotonic() + timeout_s)
        except TimeoutError:
            raise Failure("timeout", f"its {turn} did not end within {timeout_s:g} s") from None
        except ChannelClosed:
            death = self._death()
            # some runtimes do not survive an allocation that fails
            limited = self.memory_mib is not None and death.startswith("killed")
            raise Failure("oom" if limited else "crashed", f"{death} during its {turn}") from None
        except ValueError as error:
            raise Failure("crashed", f"answered its {turn} with garbage: {error}") from None
        self._signal(signal.SIGSTOP)
        self.suspension.begin()
        if "status" in answer:
            raise Failure(str(answer["status"]), str(answer.get("reason")))
        for name in ANSWERS[turn]:
            if not is_positive(answer.get(name)):
                raise Failure("crashed", f"its {turn} answered {name} = {answer.get(name)!r:.80}")
        return answer

    def end(self) -> None:
        """End the worker and whatever it started; safe to call at any time, more than once."""
        if not self.ended:
            self.ended = True
            self._signal(signal.SIGKILL)
            self.process.wait()
            self.channel.close()
            self.temporary.cleanup()

    def _wait(self, deadline: float) -> dict[str, Any]:
        """Sleep until the answer is there, waking now and then to see that the worker lives."""
        while True:
            remaining = deadline - time.monotonic()
            try:
                return self.channel.receive(max(LAST_LOOK_S, min(remaining, LIFE_SIGN_S)))
            except TimeoutError:
                if self.process.poll() is not None:
                    with contextlib.suppress(TimeoutError):
                        return self.channel.receive(LAST_LOOK_S)  # its last words
                    raise ChannelClosed from None
                if remaining <= LIFE_SIGN_S:
                    raise

    def _death(self) -> str:
        try:
            code = self.process.wait(LIFE_SIGN_S)
        except subprocess.TimeoutExpired:
            return "closed its channel"
        if code == -signal.SIGKILL:
            return "killed by SIGKILL (the kernel does this where memory runs out)"
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"

    def _signal(self, number: signal.Signals) -> None:
        # Plain signals to the group and not psutil's suspend: that reaches one process only, and
        # compilers leave helpers behind.
        # macOS permits no signal to a group that has died but was not waited for
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)


def is_positive(value: Any) -> bool:
    """Whether `value` is a finite number above 0, or a list of such."""
    if isinstance(value, list):
        return bool(value) and all(map(is_positive, value))
    return isinstance(value, int | float) and math.isfinite(value) and value > 0
