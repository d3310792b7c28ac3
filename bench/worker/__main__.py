"""The child: one cell in a fresh process.

The parent asks for turns and this process answers each: `build`, then `warm_up`, then `block` as
often as it likes, then `finish`, `latency` and `audit`. Between turns it is suspended.
"""

import ctypes
import os
import signal
import socket
import sys
import traceback

from bench.cells import Cell
from bench.worker import memory
from bench.worker.channel import Channel, ChannelClosed
from bench.worker.worker import Worker

# Keras imports these wherever it finds them, which on JAX nearly doubles the time that its import
# takes: they are here for our parent's sake, and no part of it.
OURS = ("pandas", "sklearn")

# What a framework's error says when it is memory that ran out.
OUT_OF_MEMORY = (
    *("out of memory", "resource_exhausted", "bad_alloc", "can't allocate memory"),
    *("oom when allocating", "alloc_failed", "failed to allocate memory"),
)


def diagnose(error: BaseException) -> tuple[str, str]:
    """(status, reason) of what an implementation raised."""
    text = str(error).encode("utf-8", "replace").decode()  # half a character is no JSON elsewhere
    lines = text.strip().splitlines() or [type(error).__name__]
    reason = f"{type(error).__name__}: {lines[0][:300]}"
    if isinstance(error, ImportError):
        return "unavailable", lines[0][:300]
    if isinstance(error, NotImplementedError):
        return "unsupported", lines[0][:300]
    if isinstance(error, MemoryError) or any(words in text.lower() for words in OUT_OF_MEMORY):
        return "oom", reason
    return "crashed", reason


def die_with_parent() -> None:
    """Have Linux end this process with its parent, however that ends and whatever we do then.

    Elsewhere a suspended worker is ended by the hang-up of its orphaned process group.
    """
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def main() -> int:
    die_with_parent()
    connection = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(connection.fileno(), False)
    channel = Channel(connection)
    try:
        job = channel.receive()
        memory.limit(job.get("memory_mib"))
        cell = Cell(**job["cell"])
        if not cell.implementation.endswith(".py"):  # whose author may want them
            sys.modules.update(dict.fromkeys(OURS))  # type: ignore[arg-type]  # not to be found
        worker = Worker(cell, job["data_folder"])
        while True:
            request = channel.receive()
            turn = getattr(worker, request.pop("turn"))
            try:
                reply = turn(**request)
            except BaseException as error:
                traceback.print_exc()
                status, reason = diagnose(error)
                channel.send({"status": status, "reason": reason})
                return 1
            channel.send(reply)
    except ChannelClosed:  # the parent has what it wants, or is gone
        return 0


if __name__ == "__main__":
    raise SystemExit(main())
