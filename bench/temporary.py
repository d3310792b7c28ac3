"""Temporary folders that vanish with what made them, killed or not.

Each is locked while its owner lives. A folder that nobody has locked is a leftover of a process
that was killed together with its guardian, as by a power failure: the next process removes it.
"""

import contextlib
import fcntl
import os
import secrets
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from bench import guardian

PREFIX = "resnet-bench."
SHORT = ("/tmp", "/var/tmp", "/dev/shm")
# Bytes of a place so that a folder of ours holds pymp-xxxxxxxx/listener-xxxxxxxx: the path of a
# socket has 103 on macOS, and 4 more on Linux
LONGEST = 103 - len(f"/{PREFIX}xxxxxxxx/pymp-xxxxxxxx/listener-xxxxxxxx")

_swept: set[Path] = set()


class TemporaryFolder:
    """A new folder below `where` (None: where temporary files lie), for as long as this process
    wants it; `path` is where it is.
    """

    def __init__(self, where: Path | None = None) -> None:
        where = where or Path(tempfile.gettempdir())
        sweep(where)
        lock = None
        while lock is None:  # until no other process took it for a leftover before it was locked
            self.path = where.absolute() / f"{PREFIX}{secrets.token_hex(4)}"
            guardian.ward().tell(guardian.FOLDER, str(self.path))  # before it can be left behind
            self.path.mkdir(mode=0o700)
            lock = _locked(self.path)
        self.lock = lock

    def remove(self) -> None:
        """Remove it and all in it; safe to call more than once."""
        if self.lock >= 0:
            guardian.remove(str(self.path))
            guardian.ward().tell(guardian.GONE, str(self.path))
            os.close(self.lock)
            self.lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.remove()


def for_sockets() -> Path:
    """Where temporary files lie; where paths of sockets below a folder of ours would be too long
    there, a place that is shorter. Python's multiprocessing makes such sockets.
    """
    usual = Path(tempfile.gettempdir())
    for place in (usual, *map(Path, SHORT)):
        if len(os.fsencode(place)) <= LONGEST and os.access(place, os.W_OK | os.X_OK):
            return place
    return usual


def sweep(where: Path) -> None:
    """Remove the leftovers in a folder; once is enough for a process."""
    if where in _swept:
        return
    _swept.add(where)
    for path in where.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if path.lstat().st_uid == os.getuid() and (lock := _locked(path)) is not None:
                guardian.remove(str(path))
                os.close(lock)


def _locked(path: Path) -> int | None:
    """A descriptor that holds the lock of a folder; None where another process has it, or the
    folder is gone.
    """
    try:
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), os.stat(path)):
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(lock)
        raise
    os.close(lock)
    return None
