"""`SHA256SUMS`: the digests of a finished run's files, in the form that `sha256sum --check` reads.

They tell an accident or an edit apart from what was measured; who edits both is not found out.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from bench import files

FILE = "SHA256SUMS"
FOLDERS = ("weights", "plots")  # whose files count too; logs are not published
LARGEST = 2**20  # bytes of the manifest
LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")


def seal(folder: Path) -> None:
    """Write the manifest of a run that has ended."""
    _write(folder, {name: _digest(folder / name) for name in _names(folder)})


def unseal(folder: Path) -> None:
    """Remove the manifest of a run that goes on."""
    (folder / FILE).unlink(missing_ok=True)


def seal_reports(folder: Path) -> None:
    """Bring the manifest, where there is one, up to reports that were written anew; what was
    measured keeps the digests that it had.
    """
    known = _read(folder)
    if known:
        found = {name: _digest(folder / name) for name in _names(folder)}
        kept = {name: digest for name, digest in known.items() if _is_source(name)}
        _write(folder, found | kept)


def altered(folder: Path) -> list[str]:
    """What of a run is not as it was when the run ended, each in words; nothing where there is no
    manifest, as of older runs.
    """
    known = _read(folder)
    if known is None:
        return []
    if not known:
        return [f"{FILE} cannot be read"]
    there = set(_names(folder))
    found = []
    for name, digest in known.items():
        if not _is_source(name):
            continue
        if name not in there:  # only names that were found are ever opened
            found.append(f"{name} is missing")
        elif _digest(folder / name) != digest:
            found.append(f"{name} was altered")
    return found


def _is_source(name: str) -> bool:
    """Whether a file is no report, which can be written again."""
    return name in ("run.json", "records.jsonl") or name.startswith("weights/")


def _names(folder: Path) -> Iterator[str]:
    """The files of a run that count, by their paths within its folder."""
    for place in (folder, *(folder / name for name in FOLDERS)):
        if place.is_dir() and not place.is_symlink():
            for path in sorted(place.iterdir()):
                name = path.relative_to(folder).as_posix()
                if files.regular(path) and name != FILE and not path.name.startswith("."):
                    yield name


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(folder: Path) -> dict[str, str] | None:
    """Name -> digest; nothing of a manifest that is damaged, None where there is none."""
    path = folder / FILE
    if not path.exists():
        return None
    try:
        lines = files.read(path, LARGEST).decode().splitlines()
    except (OSError, ValueError):
        return {}
    found = [LINE.fullmatch(line) for line in lines]
    return {} if None in found else {match[2]: match[1] for match in found if match}


def _write(folder: Path, digests: dict[str, str]) -> None:
    lines = (f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
    files.write(folder / FILE, lines)
