"""One worker as its parent sees it: started, sent requests, suspended between them, ended."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import guardian, processes, signals
from bench.machine import control_groups, cpus
from bench.parent.suspension import Suspension
from bench.records.record import Status
from bench.temporary import TemporaryFolder, for_sockets
from bench.worker import protocol, shortage
from bench.worker.channel import Channel, ChannelClosed
from bench.worker.environment import Environment
from bench.worker.protocol import A, Build, Failed, WorkerRequest

# How often a waiting parent looks whether the worker still lives: a worker's own children may hold
# the channel open after its death.
LIFE_SIGN_S = 5.0
LAST_LOOK_S = 0.1  # for an answer that is there when the time is up, as after a stop by Ctrl-Z
LOG_BYTES = 2**20  # that are kept of the beginning of a log, and of its end
LONGEST = 500  # characters of a reason
# A line with which XLA, for one, ends its process: of a flag that it does not know, say
FATAL = re.compile(r"^F\d{4} \S+ +\d+ \S+\] (.+)", re.MULTILINE)


class Failure(Exception):
    """A worker that will not answer any more: its `status` and `reason` for the record."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Child:
    """A worker process that runs only while it has a request to answer.

    It leads a process group within our session, so that a signal reaches whatever it starts, and
    carries a mark, by which what it started elsewhere is found and ended with it.
    """

    def __init__(self, environment: Environment, log: Path, compiled: Path | None = None) -> None:
        """`compiled`: where it finds what an earlier worker compiled, and leaves what it does."""
        ours, theirs = socket.socketpair()
        self.limited = False  # in the memory that it may allocate
        self.device = environment.device
        self.oom_kills = control_groups.oom_kills()
        self.channel = Channel(ours)
        self.ended = False
        self.log = log
        self.temporary = TemporaryFolder(for_sockets())
        self.mark = guardian.marked()
        folders = str(self.temporary.path), str(compiled) if compiled else None
        variables = environment.of_worker(*folders) | self.mark
        with theirs, log.open("ab") as output, cpus.confined(environment.threads):
            self.process = subprocess.Popen(
                processes.command("bench.worker", str(theirs.fileno())),
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[theirs.fileno()],
                process_group=0,
            )
        self.suspension = Suspension(self.process.pid)

    def ask(self, request: WorkerRequest[A], timeout_s: float) -> A:
        """Let the worker run until it has answered, and return its answer.

        Raises Failure where the worker reports an error, dies, gives no answer in `timeout_s`
        seconds, or answers nonsense.
        """
        self.begin(request)
        return self.answer(request, timeout_s)

    def begin(self, request: WorkerRequest[Any]) -> None:
        """Let the worker run for one request, whose `answer` the caller fetches."""
        if isinstance(request, Build):
            self.limited = request.memory_mib is not None
        self.unasked = self.channel.unread()
        self.suspension.end()
        self._signal(signal.SIGCONT)
        with contextlib.suppress(ChannelClosed):  # `answer` will say so
            self.channel.send(protocol.encode(request))

    def answer(self, request: WorkerRequest[A], timeout_s: float) -> A:
        """The answer to a request that was begun, as `ask` returns it; the worker is suspended."""
        name = request.name
        try:
            line = self._wait(time.monotonic() + timeout_s)
            answer = protocol.answer_of(line, request)
            if self.unasked or self.channel.unread():
                raise ValueError("it sent more than one answer")
        except TimeoutError:
            raise Failure("timeout", f"its {name} did not end within {timeout_s:g} s") from None
        except ChannelClosed:
            raise self._failure(f"{self._death()} during its {name}") from None
        except ValueError as error:
            reason = f"answered its {name} with garbage: {_one_line(str(error))}"
            raise Failure("crashed", reason) from None
        self._signal(signal.SIGSTOP)
        self.suspension.begin()
        shorten(self.log)
        if isinstance(answer, Failed):
            hint = f"; {shortage.hint(answer.reason, self.device)}" * (answer.status == "oom")
            raise Failure(answer.status, _one_line(answer.reason) + hint)
        return answer

    def fileno(self) -> int:
        """Of the channel, readable where there is an answer or its end; for `select`."""
        return self.channel.connection.fileno()

    def end(self) -> None:
        """End the worker and whatever it started; safe to call at any time, more than once."""
        if not self.ended:
            self.ended = True
            self._signal(signal.SIGKILL)
            self.process.wait()
            self.channel.close()
            guardian.end_marked(*self.mark.values())
            shorten(self.log)
            self.temporary.remove()

    def _wait(self, deadline: float) -> bytes:
        """Sleep until the answer is there, waking now and then to see that the worker lives."""
        while True:
            remaining = deadline - time.monotonic()
            try:
                return self.channel.receive(max(LAST_LOOK_S, min(remaining, LIFE_SIGN_S)))
            except TimeoutError:
                shorten(self.log)
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
        if code >= 0:
            return f"exited with code {code}"
        names = {int(number): number.name for number in signal.Signals}  # a few have none
        return f"killed by {names.get(-code, f'signal {-code}')}"

    def _failure(self, death: str) -> Failure:
        """What a worker's death tells: `oom` where the kernel counted one, where the worker was
        limited (some runtimes do not survive an allocation that fails), or where its log says so.
        """
        killed = death.startswith("killed by SIGKILL")
        counted = killed and control_groups.oom_kills() != self.oom_kills
        limited = death.startswith("killed") and self.limited
        log = ""
        with contextlib.suppress(OSError):
            log = self.log.read_bytes()[-LOG_BYTES:].decode(errors="replace")
        if not (counted or limited or (shortage.shows(log) and not killed)):
            last_words = FATAL.findall(log)[-1:]
            return Failure("crashed", _one_line(": ".join([death, *last_words])))
        hint = shortage.hint(log, "cpu" if killed else self.device)
        return Failure("oom", f"{death}; {hint}")

    def _signal(self, number: signal.Signals) -> None:
        # Plain signals to the group and not psutil's suspend: that reaches one process only, and
        # compilers leave helpers behind.
        # macOS permits no signal to a group that has died but was not waited for
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            self.process.send_signal(number)  # it may have left its group


def shorten(log: Path) -> None:
    """Leave out the middle of a log that is longer than twice LOG_BYTES."""
    with contextlib.suppress(OSError):  # no log is worth a measurement
        if (size := log.stat().st_size) <= 2 * LOG_BYTES + 100:
            return
        with log.open("r+b") as file:
            file.seek(size - LOG_BYTES)
            end = file.read()
            file.seek(LOG_BYTES)
            file.write(f"\n[{size - 2 * LOG_BYTES} bytes left out]\n".encode() + end)
            file.truncate()


def _one_line(reason: str) -> str:
    """A reason as a row may hold it: in one line, of printable characters, and not too long."""
    words = "".join(c if c.isprintable() or c.isspace() else "?" for c in reason[: 4 * LONGEST])
    line = " ".join(words.split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"


@contextlib.contextmanager
def one_worker(environment: Environment) -> Iterator[Child]:
    """A worker beside no other, whose log nobody keeps; it ends with the context."""
    with contextlib.ExitStack() as ending:
        folder = ending.enter_context(TemporaryFolder()).path
        with signals.held():
            child = Child(environment, folder / "log")
            ending.callback(child.end)
        yield child
