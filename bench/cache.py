"""What is remembered from run to run: entries that are checked whenever they are read.

An entry is a file of one line, which holds its name and the SHA-256 of its content, and of the
content. What is cut, damaged, somebody else's, of another version or dated in the future is as good
as absent: it is made anew.
"""

import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

from bench import files, locks
from bench.errors import UsageError
from bench.validation import parse

FORMAT = "resnet-bench cache 1"
LARGEST = 64 * 2**20  # bytes of an entry that is read as a whole; scripts take 1 MiB
LONGEST_HEADER = 1024  # bytes
SKEW_S = 60.0  # that a file server's clock may be ahead
CHUNK = 2**20  # bytes

Kind = TypeVar("Kind")


def folder() -> Path:
    """The folder of all entries: below XDG_CACHE_HOME or the home, or else among temporary files,
    as for a user who has no home.
    """
    named = Path(os.environ.get("XDG_CACHE_HOME") or "relative")
    if named.is_absolute():  # others are to be ignored, says the specification
        return named / "resnet-bench"
    try:
        return Path.home() / ".cache" / "resnet-bench"
    except RuntimeError:
        return Path(tempfile.gettempdir()) / f"resnet-bench-cache-{os.getuid()}"


def read(name: str) -> bytes | None:
    """The content of an entry; None where there is none that can be trusted."""
    file = open_entry(folder() / name, LARGEST)
    if file is None:
        return None
    with file:
        return file.read()


def read_as(name: str, kind: type[Kind]) -> Kind | None:
    """The content of an entry of JSON, as a value of `kind`; None where there is none."""
    content = read(name)
    try:
        return None if content is None else parse(content, kind)
    except ValueError:
        return None


def age_s(name: str) -> float | None:
    """The seconds since an entry was kept; None where there is no file."""
    try:
        return time.time() - (folder() / name).stat().st_mtime
    except OSError:
        return None


def find(name: str) -> Path | None:
    """The file of an entry, for another process to open; None where there is none to be trusted."""
    path = folder() / name
    file = open_entry(path)
    if file is None:
        return None
    file.close()
    return path


def open_entry(path: Path, largest: int | None = None) -> BinaryIO | None:
    """The file of an entry at the beginning of its content, which was read and found to be whole.

    None where it is none, or of more than `largest` bytes.
    """
    try:
        # a pipe is not waited for, a link is not followed
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    if not _trusted(os.fstat(descriptor), largest):
        os.close(descriptor)
        return None
    with suppress(OSError), ExitStack() as ending:
        file = ending.enter_context(open(descriptor, "rb"))
        if (start := _verified(file, path)) is not None:
            file.seek(start)
            ending.pop_all()
            return file
    return None


def _trusted(about: os.stat_result, largest: int | None) -> bool:
    ours = about.st_uid in (os.geteuid(), 0)
    dated = about.st_mtime <= time.time() + SKEW_S
    return stat.S_ISREG(about.st_mode) and ours and dated and about.st_size <= (largest or 2**63)


def _verified(file: BinaryIO, path: Path) -> int | None:
    """Where the content begins; None where the header is not that of this content at this place."""
    header = file.readline(LONGEST_HEADER)
    digest = hashlib.sha256()
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    right = _header(path.name, digest.hexdigest())
    return len(header) if header == right else None


def _header(name: str, digest: str) -> bytes:
    return f"{FORMAT} {name} {digest}\n".encode()


def keep(name: str, content: bytes | str) -> Path:
    """Write an entry. Raises UsageError where its folder cannot be written to."""
    path = writable((folder() / name).parent) / Path(name).name
    content = content.encode() if isinstance(content, str) else content
    header = _header(path.name, hashlib.sha256(content).hexdigest())
    _put(path, iter([header, content]))
    return path


def adopt(name: str, file: Path) -> Path:
    """Make an entry of the content of a file, however large. Raises UsageError as `keep` does."""
    path = writable((folder() / name).parent) / Path(name).name
    with file.open("rb") as content:
        header = _header(path.name, hashlib.file_digest(content, "sha256").hexdigest())
        content.seek(0)
        _put(path, _chunks(header, content))
    return path


def _chunks(header: bytes, content: BinaryIO) -> Iterator[bytes]:
    yield header
    while chunk := content.read(CHUNK):
        yield chunk


def _put(path: Path, parts: Iterator[bytes]) -> None:
    try:
        files.write(path, parts)
    except OSError as error:
        raise _unwritable(path, error) from None


def updating(name: str) -> AbstractContextManager[None]:
    """Hold off other runs that would read an entry and write it. Raises UsageError as `keep`."""
    path = writable((folder() / name).parent) / f".{Path(name).name}.lock"
    return locks.locked(path, wait=True)


def sweep() -> None:
    """Remove what killed processes left that were writing entries."""
    for at, _, _ in os.walk(folder()):
        files.remove_temporary(Path(at))


def writable(below: Path) -> Path:
    """A folder of the cache, made where it is not there yet. Raises UsageError where that, or to
    write to it, is impossible.
    """
    try:
        below.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=below).close()
    except OSError as error:
        raise _unwritable(below, error) from None
    return below


def _unwritable(path: Path, error: OSError) -> UsageError:
    remedy = "make it writable, or name another place by the variable XDG_CACHE_HOME"
    return UsageError(f"{path}: the cache cannot be written ({error.strerror}); {remedy}")
