"""Files that are written as a whole, and read within bounds."""

import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from errno import EFBIG, EINVAL
from pathlib import Path
from typing import BinaryIO

TEMPORARY = ".resnet-bench-"  # the names of files that are not whole yet begin so
Content = bytes | str | Iterable[bytes] | Iterable[str]


def write(path: Path, content: Content) -> None:
    """Replace a file as a whole: a reader sees the old content or the new one, never a part, even
    after a loss of power. A link is replaced, and what it leads to stays.

    `content`: bytes or text, or parts of it. Where this fails, no temporary file stays.
    """
    with writing(path) as file:
        file.writelines(_parts(content))


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of another as `write` does, if nothing fails within."""
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            yield file
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
