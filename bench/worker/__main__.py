"""A worker: a fresh process that answers its parent's requests, and is suspended between them."""

import contextlib
import ctypes
import os
import signal
import socket
import sys
import traceback

from bench.worker import memory, protocol, shortage
from bench.worker.channel import Channel, ChannelClosed
from bench.worker.protocol import AnyRequest, Build, Certify, Describe, Failed, ProbePeaks
from bench.worker.worker import Worker

# Keras imports it wherever it finds it, which on JAX takes about as long as Keras itself: it is
# installed for our parent, and is no part of Keras.
OURS = "pandas"


def diagnose(error: BaseException) -> Failed:
    """Status and reason of what an implementation raised."""
    text = str(error).encode("utf-8", "replace").decode()  # half a character is no JSON elsewhere
    lines = text.strip().splitlines() or [type(error).__name__]
    reason = f"{type(error).__name__}: {lines[0][:300]}"
    if isinstance(error, MemoryError) or shortage.shows(text):
        # of an error in a DataLoader's process, the cause stands in its last line
        cause = next((line.strip() for line in lines if shortage.shows(line)), lines[0])
        return Failed(status="oom", reason=f"{type(error).__name__}: {cause[:300]}")
    if isinstance(error, ImportError):
        return Failed(status="unavailable", reason=lines[0][:300])
    if isinstance(error, NotImplementedError):
        return Failed(status="unsupported", reason=lines[0][:300])
    return Failed(status="crashed", reason=reason)


def die_with_parent() -> None:
    """Have Linux end this process with its parent, at once; elsewhere the parent's guardian does.

    And have whatever becomes an orphan below this process be its child, so that it is found.
    """
    if sys.platform == "linux":
        pr_set_pdeathsig, pr_set_child_subreaper = 1, 36
        system = ctypes.CDLL(None)
        system.prctl(pr_set_pdeathsig, signal.SIGKILL)
        system.prctl(pr_set_child_subreaper, 1)


def prepare(request: AnyRequest) -> None:
    """Do what must be done before the first answer imports anything."""
    match request:
        case Build(cell=subject) | Certify(executable=subject) | Describe(executable=subject):
            users = subject.implementation.endswith(".py")  # whose author may want them
        case ProbePeaks():
            users = False
        case _:  # not the first
            return
    if isinstance(request, Build):
        memory.limit(request.memory_mib)
    if not users:
        sys.modules[OURS] = None  # type: ignore[assignment]  # not to be found


def main() -> int:
    """Answer requests until the parent has no more of them; 1 where one could not be met."""
    die_with_parent()
    connection = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(connection.fileno(), False)
    channel = Channel(connection)
    worker = Worker()
    try:
        while True:
            request = protocol.request_of(channel.receive())
            try:
                prepare(request)
                line = protocol.encode(worker.answer(request))
            except BaseException as error:
                with contextlib.suppress(Exception):  # its standard error may be closed
                    traceback.print_exc()
                channel.send(protocol.encode(diagnose(error)))
                return 1
            channel.send(line)
    except ChannelClosed:  # the parent has what it wants, or is gone
        return 0


if __name__ == "__main__":
    raise SystemExit(main())
