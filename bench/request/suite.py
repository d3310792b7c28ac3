"""Suites: the options of `run` in a TOML file, which may hold several matrices of cells.

```toml
description = "Two engines, then PyTorch compiled"
replicates = 5                      # options of all matrices, by the names of the command line

[[matrix]]
impl = ["onnxruntime_engine", "openvino_engine"]
batch-size = [1, 32]

[[matrix]]                          # without a matrix, the file is one
impl = ["torch_module"]
mode = ["compiled"]
```
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import files
from bench.errors import UsageError, unknown

READY = Path(__file__).parents[1] / "suites"
LARGEST = 2**20  # bytes of a suite; nobody writes a longer one

Table = Mapping[str, Any]  # option, by its name without the dashes -> value


@dataclass(frozen=True)
class Suite:
    """A file of options: those of all matrices, and the matrices."""

    path: Path
    text: str  # to find the line of a mistake
    shared: Table
    matrices: Sequence[Table]  # one, which adds nothing, where the file names none

    @property
    def description(self) -> str:
        """What the suite measures; empty where it does not say."""
        return str(self.shared.get("description", ""))

    def where(self, *keys: str | int) -> str:
        """`suite.toml, line 7`, of what is at `keys`; the path alone of what is no TOML."""
        return f"{self.path}, line {line_of(self.text, keys)}" if self.text else str(self.path)


def ready() -> dict[str, Suite]:
    """The suites that come with the package, by name."""
    return {path.stem: read(path) for path in sorted(READY.glob("*.toml"))}


def find(name: str) -> Suite:
    """The suite of a file, or of a ready one's name. Raises UsageError where there is neither."""
    own = {path.stem: path for path in sorted(READY.glob("*.toml"))}
    if name in own:
        return read(own[name])
    path = Path(name)
    try:
        here = path.is_file()
    except OSError:  # such as a name that is too long
        here = False
    if not here:
        raise UsageError(
            f"--config {name}: {unknown('suite', name, own)}, or give the path of a TOML file or "
            "of a run's folder"
        )
    return read(path)


def read(path: Path) -> Suite:
    """A suite from its file. Raises UsageError that names the file and the line."""
    try:
        text = files.read(path, LARGEST).decode()
        entries = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--config {path}: cannot be read ({error})") from None
    except (ValueError, RecursionError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else error
        raise UsageError(f"--config {path}: is not TOML ({what})") from None
    matrices = entries.pop("matrix", [{}])
    suite = Suite(path, text, entries, matrices)
    if (
        not isinstance(matrices, list)
        or not matrices
        or not all(isinstance(each, dict) for each in matrices)
    ):
        raise UsageError(f"{suite.where('matrix')}: write each matrix as a table, [[matrix]]")
    if not isinstance(entries.get("description", ""), str):
        raise UsageError(f"{suite.where('description')}: description is a text in quotes")
    return suite


def line_of(text: str, keys: Sequence[str | int]) -> int:
    """The line on which the value at `keys` begins, counted from 1.

    tomllib tells no lines. But every longest part of the file that is TOML and does not hold the
    value yet ends just before it.
    """
    lines = text.splitlines(keepends=True)
    before = 0
    for number in range(1, len(lines) + 1):
        try:
            entries: Any = tomllib.loads("".join(lines[:number]))
        except ValueError:
            continue  # within a value of several lines
        if _holds(entries, keys):
            break
        before = number
    return min(before + 1, max(len(lines), 1))


def _holds(entries: Any, keys: Sequence[str | int]) -> bool:
    for key in keys:
        try:
            entries = entries[key]
        except (KeyError, IndexError):
            return False
    return True
