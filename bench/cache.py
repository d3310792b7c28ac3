"""What is remembered from run to run, in the user's cache folder."""

import os
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "resnet-bench"


def keep(file: Path, text: str) -> None:
    """Write a file of the cache, whose folder need not be there yet."""
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_file(file, text.encode())


def replace_file(path: Path, content: bytes) -> None:
    """Write a file as a whole: a reader sees the old content or the new, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(path)
