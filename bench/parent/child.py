"""One worker as its parent sees it: started, sent requests, suspended between them, ended."""

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import processes
from bench.machine import cpus
from bench.parent.suspension import Suspension
from bench.records.record import Status
from bench.worker import protocol
from bench.worker.channel import Channel, ChannelClosed
from bench.worker.environment import Environment, temporary_files
from bench.worker.protocol import A, Build, Failed, WorkerRequest

# How often a waiting parent looks whether the worker still lives: a worker's own children may hold
# the channel open after its death.
LIFE_SIGN_S = 5.0
LAST_LOOK_S = 0.1  # for an answer that is there when the time is up, as after a stop by Ctrl-Z


class Failure(Exception):
    """A worker that will not answer any more: its `status` and `reason` for the record."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Child:
    """A worker process that runs only while it has a request to answer.

    It leads a process group within our session, so that a signal reaches whatever it starts, and
    the kernel ends a suspended group (SIGHUP, SIGCONT) should this process be killed.
    """

    def __init__(self, environment: Environment, log: Path) -> None:
        ours, theirs = socket.socketpair()
        self.limited = False  # in the memory that it may allocate
        self.channel = Channel(ours)
        self.ended = False
        self.temporary = tempfile.TemporaryDirectory(
            prefix="resnet-bench-",
            ignore_cleanup_errors=True,  # a process that is being killed may still write
        )
        variables = environment.variables() | temporary_files(self.temporary.name)
        with theirs, log.open("ab") as output, cpus.confined(environment.threads):
            self.process = subprocess.Popen(
                processes.command("bench.worker", str(theirs.fileno())),
                env={**os.environ, **variables},
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
        self.suspension.end()
        self._signal(signal.SIGCONT)
        with contextlib.suppress(ChannelClosed):  # `answer` will say so
            self.channel.send(protocol.encode(request))

    def answer(self, request: WorkerRequest[A], timeout_s: float) -> A:
        """The answer to a request that was begun, as `ask` returns it; the worker is suspended."""
        name = request.name
        try:
            answer = protocol.answer_of(self._wait(time.monotonic() + timeout_s), request)
        except TimeoutError:
            raise Failure("timeout", f"its {name} did not end within {timeout_s:g} s") from None
        except ChannelClosed:
            death = self._death()
            # some runtimes do not survive an allocation that fails
            status: Status = "oom" if self.limited and death.startswith("killed") else "crashed"
            raise Failure(status, f"{death} during its {name}") from None
        except ValueError as error:
            raise Failure("crashed", f"answered its {name} with garbage: {error}") from None
        self._signal(signal.SIGSTOP)
        self.suspension.begin()
        if isinstance(answer, Failed):
            raise Failure(answer.status, answer.reason)
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
            self.temporary.cleanup()

    def _wait(self, deadline: float) -> bytes:
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


@contextlib.contextmanager
def one_worker(environment: Environment) -> Iterator[Child]:
    """A worker beside no other, whose log nobody keeps; it ends with the context."""
    with tempfile.TemporaryDirectory(prefix="resnet-bench-") as folder:
        child = Child(environment, Path(folder) / "log")
        try:
            yield child
        finally:
            child.end()
