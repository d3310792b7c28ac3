"""What is remembered from run to run, in the user's cache folder."""

import os
import tempfile
from pathlib import Path

from bench.cells import UsageError

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "resnet-bench"


def keep(file: Path, text: str) -> None:
    """Write a file of the cache. Raises UsageError where its folder cannot be written to."""
    replace_file(writable(file.parent) / file.name, text.encode())


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


def replace_file(path: Path, content: bytes) -> None:
    """Write a file as a whole: a reader sees the old content or the new, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(path)
