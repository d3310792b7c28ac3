"""Locks of processes: files that are locked while somebody works, and say who.

By the kernel's `flock`, so that a lock ends with its process, however that ends, and a file that
was left behind locks nobody out. filelock, which most would take, refuses a file of another user in
a folder such as /tmp, where the users of one machine have to meet.
"""

import fcntl
import os
import pwd
import shlex
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from errno import EACCES, EINVAL, ENOLCK, ENOSYS, ENOTSUP, EPERM, EROFS
from pathlib import Path

from bench import files
from bench.words import printable

# What a file system says that knows no locks, or where none of ours can lie
_NO_LOCKS = (ENOLCK, ENOSYS, ENOTSUP, EACCES, EPERM, EROFS)
ANYBODY = 0o666
LONGEST = 300  # characters of a command that are told
CALLED = {"bench": "resnet-bench", "": "python", "-c": "python"}
LARGEST = 8192  # bytes of what a lock says


@contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold a lock that is the file `path`, which is there as long as the lock is held.

    Raises BlockingIOError where another process holds it, unless this is to `wait`. Where a file
    system knows no locks, nothing is locked.
    """
    try:
        descriptor = take(path, wait=wait)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        yield
        return
    try:
        yield
    finally:
        release(path, descriptor)


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock that is the file `path`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def holder(path: Path) -> str:
    """Who holds a lock, by its own account: `pid 7 of ann since 2026-01-01 08:00 UTC: COMMAND`."""
    try:
        told = files.read(path, LARGEST).decode(errors="replace").strip()
    except OSError:
        told = ""
    return printable(" ".join(told.split())) or "a process that does not say who it is"


def take(path: Path, *, wait: bool, mode: int | None = None) -> int:
    """The descriptor of a lock that was taken; its file is made with `mode`, whatever the umask.

    Raises BlockingIOError where another process holds it, unless this is to `wait`, and OSError
    where there can be no lock.
    """
    while True:
        descriptor = _opened(path, mode)
        if descriptor is None:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                _say_who(descriptor)
                return descriptor
        except FileNotFoundError:
            pass  # who held it until now has removed it
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def release(path: Path, descriptor: int) -> None:
    """Let a lock go. Its file goes too, but where it is another user's."""
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        path.unlink()
    os.close(descriptor)


def _opened(path: Path, mode: int | None) -> int | None:
    """None where the file came or went meanwhile."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        # not to be made: in /tmp, Linux refuses that of a file that another user has made
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        try:
            descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, ANYBODY)
        except FileExistsError:
            return None
        if mode is not None:
            os.fchmod(descriptor, mode)
    about = os.fstat(descriptor)
    if stat.S_ISREG(about.st_mode) and about.st_nlink <= 1:  # 0: just removed
        return descriptor
    os.close(descriptor)
    raise OSError(EINVAL, "it is no regular file of its own", str(path))


def _say_who(descriptor: int) -> None:
    with suppress(OSError):  # a disk that is full keeps nobody from working
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{_this_process()}\n".encode(errors="replace"), 0)


def _this_process() -> str:
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # as in a container that was given a number alone
        user = f"user {os.getuid()}"
    program, *words = sys.argv or [""]
    path = Path(program)
    name = path.parent.name if path.name == "__main__.py" else path.name  # by `python -m`
    command = shlex.join([CALLED.get(name, name), *words])
    told = command if len(command) <= LONGEST else f"{command[:LONGEST]}…"
    return f"pid {os.getpid()} of {user} since {datetime.now(UTC):%Y-%m-%d %H:%M} UTC: {told}"
