"""Files that are written as a whole, read within bounds, and locked."""

import fcntl
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from errno import EACCES, EFBIG, EINVAL, ENOLCK, ENOSYS, ENOTSUP, EPERM, EROFS
from pathlib import Path
from typing import BinaryIO

TEMPORARY = ".resnet-bench-"  # the names of files that are not whole yet begin so
Content = bytes | str | Iterable[bytes] | Iterable[str]

# What a file system says that knows no locks, or where none of ours can lie
_NO_LOCKS = (ENOLCK, ENOSYS, ENOTSUP, EACCES, EPERM, EROFS)


def write(path: Path, content: Content) -> None:
    """Replace a file as a whole: a reader sees the old content or the new one, never a part, even
    after a loss of power. A link is replaced, and what it leads to stays.

    `content`: bytes or text, or parts of it. Where this fails, no temporary file stays.
    """
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            file.writelines(_parts(content))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync(path.parent)


def write_named(path: Path, content: Content) -> None:
    """Write to a place that a user names: where a link leads, a device or a pipe stay such."""
    if path.exists() and not path.is_file():
        # a pipe that nobody reads is refused instead of waited for
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        os.set_blocking(descriptor, True)
        with open(descriptor, "wb") as file:
            file.writelines(_parts(content))
    else:
        write(path.resolve() if path.is_symlink() else path, content)


def _parts(content: Content) -> Iterator[bytes]:
    for part in [content] if isinstance(content, bytes | str) else content:
        yield part if isinstance(part, bytes) else part.encode()


def sync(folder: Path) -> None:
    """Have the names in a folder survive a loss of power, where its file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_temporary(folder: Path) -> None:
    """Remove what killed processes left that were writing into a folder."""
    for file in folder.glob(f"{TEMPORARY}*"):
        writer = file.name.removeprefix(TEMPORARY).partition("-")[0]
        with suppress(OSError, ValueError):
            try:
                os.kill(int(writer), 0)
            except ProcessLookupError:
                file.unlink()


def regular(path: Path) -> bool:
    """Whether a path is a file itself, and no link, pipe or device."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def opened(path: Path) -> BinaryIO:
    """A file to read. Raises OSError, too, for a pipe or a device, which may have no end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return open(descriptor, "rb")
    os.close(descriptor)
    raise OSError(EINVAL, "it is no regular file", str(path))


def read(path: Path, most: int) -> bytes:
    """The content of a file. Raises OSError as `opened` does, and for more than `most` bytes."""
    with opened(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(EFBIG, f"it is larger than {most / 2**20:.0f} MiB", str(path))
    return content


@contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold a lock that is the file `path`, which is there as long as the lock is held.

    Raises BlockingIOError where another process holds it, unless this is to `wait`. The lock ends
    with its process, however that ends. Where a file system knows no locks, nothing is locked.
    """
    try:
        descriptor = _take(path, wait)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        yield
        return
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)


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


def _take(path: Path, wait: bool) -> int:
    """The descriptor of a lock that was taken."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor
        except FileNotFoundError:
            pass  # who held it until now has removed it
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
