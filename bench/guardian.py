"""What clears up after this process, however it ends: a guardian, which is a process of its own.

A process that is killed clears up nothing. So its guardian sleeps on a pipe that this process alone
holds open. When the pipe closes, the guardian kills every process that carries this one's mark in
its environment, in whatever group or session, suspended or not. Then it removes the folders that it
was told of. It is no child of this process, and no signal to the group or session reaches it.

The guardian runs this file without site-packages, in about 20 ms, and imports nothing of ours.
"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from itertools import count

VARIABLE = "RESNET_BENCH_PROCESS"  # carries the mark; of one length, as it moves a program's stack
PATIENCE_S = 10.0  # with processes that do not end when they are killed, as on a disk that hangs
LOOK_S = 0.005
FOLDER, GONE = b"+", b"-"  # begin a message about a folder


class Ward:
    """This process as its guardian knows it. The guardian is started with the first mark or folder
    that it has to know.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.mark = secrets.token_hex(4)
        self.numbers = count()
        theirs, self.pipe = os.pipe()  # that no process which we start inherits
        os.set_blocking(self.pipe, False)
        environment = {name: v for name, v in os.environ.items() if name != VARIABLE}
        with contextlib.suppress(OSError):  # it is worth no measurement
            # it forks and ends at once, so that the guardian is nobody's child
            subprocess.run(
                [sys.executable, "-I", "-S", __file__, self.mark, _place_of_psutil()],
                stdin=theirs,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                cwd="/",
                start_new_session=True,
            )
        os.close(theirs)

    def tell(self, kind: bytes, folder: str) -> None:
        """Have a folder removed when this process has ended, or not any more."""
        with contextlib.suppress(OSError):  # the guardian was killed or stopped: nobody listens
            os.write(self.pipe, kind + os.fsencode(folder) + b"\0")


def _place_of_psutil() -> str:
    """The folder to import it from, found without the import."""
    from importlib.util import find_spec

    found = find_spec("psutil")
    assert found is not None
    return os.path.dirname(os.path.dirname(str(found.origin)))


_wards: list[Ward] = []  # one at most, of this process


def ward() -> Ward:
    """This process, with a guardian; a fork of another has one of its own."""
    if not _wards or _wards[0].pid != os.getpid():
        _wards[:] = [Ward()]
    return _wards[0]


def marked() -> dict[str, str]:
    """What the environment of a process needs to end with this one: a mark that no other has."""
    known = ward()
    return {VARIABLE: f"{known.mark}.{next(known.numbers) % 2**32:08x}"}


def end_marked(mark: str) -> None:
    """Kill all processes that carry a mark, or one that begins with it, and wait for their end."""
    import psutil

    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        found = False
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):  # it has ended, or is another user's
                carried = process.environ().get(VARIABLE, "")
                if carried == mark or carried.startswith(f"{mark}."):
                    process.kill()
                    found = True
        if not found:
            return
        time.sleep(LOOK_S)


def remove(folder: str) -> None:
    """Remove a folder and all in it, as far as that can be done."""
    shutil.rmtree(folder, ignore_errors=True)
    if os.path.isdir(folder):  # something in it was made unreadable, or was written meanwhile
        for at, _, _ in os.walk(folder):
            with contextlib.suppress(OSError):
                os.chmod(at, 0o700)
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """The guardian: sleep until the ward has ended, then clear up after it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if os.fork():
        return 0
    told = bytearray()
    while part := os.read(0, 1 << 16):
        told += part
    folders: dict[bytes, None] = {}
    for message in bytes(told).split(b"\0")[:-1]:
        if message[:1] == FOLDER:
            folders[message[1:]] = None
        else:
            folders.pop(message[1:], None)
    mark, place_of_psutil = sys.argv[1:]
    sys.path.append(place_of_psutil)
    end_marked(mark)
    for folder in folders:
        remove(os.fsdecode(folder))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
