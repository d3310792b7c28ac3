"""Files that are written as a whole, and the folder of what is remembered from run to run."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from bench.errors import UsageError

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "resnet-bench"


def write(path: Path, content: bytes | str | Iterable[str]) -> None:
    """Replace a file as a whole: a reader sees the old content or the new one, never a part.

    `content`: bytes, or text, or its lines with their ends.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    if isinstance(content, bytes):
        temporary.write_bytes(content)
    else:
        with temporary.open("w", encoding="utf-8") as file:
            file.writelines([content] if isinstance(content, str) else content)
    temporary.replace(path)


def remember(file: Path, text: str) -> None:
    """Write a file of the cache. Raises UsageError where its folder cannot be written to."""
    write(writable(file.parent) / file.name, text)


def writable(folder: Path) -> Path:
    """A folder of the cache, made where it is not there yet. Raises UsageError where that, or to
    write to it, is impossible.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        remedy = "make it writable, or name another place by the variable XDG_CACHE_HOME"
        problem = f"{folder}: the cache cannot be written ({error.strerror})"
        raise UsageError(f"{problem}; {remedy}") from None
    return folder
