"""Records of more files than fit into memory, a family at a time.

A family is what one machine has measured side by side: contests whose rows are compared with each
other. A first pass over the files notes where the lines of each family lie; then these are read
again, and become records. JSON stays the form: the first pass takes 20 µs for a line of 11 KB, and
its record 95 µs. Parquet would take 260 µs to write by DuckDB, and its rows 160 µs to read back,
since most of a row are lists of samples.
"""

from array import array
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

from bench import files
from bench.cells import CONTEST
from bench.errors import UsageError
from bench.records.merging import Place
from bench.records.reading import parsed, told
from bench.records.record import Record, from_json
from bench.records.shards import Size
from bench.validation import parse, part

# Fields that cells of a family share as they are
ALIKE = tuple(name for name in CONTEST if name not in ("workload", "recipe", "streams"))
Sign: Any = part(Record, ("machine", "processor", "run_id", "status", *CONTEST))
alike = attrgetter("machine", "processor", *ALIKE)


class Families:
    """Where the lines of some files lie, family by family: the first pass."""

    def __init__(self) -> None:
        self.paths: list[Path] = []
        self.places: list[set[Place]] = []  # of each file
        self._spans: dict[tuple[Any, ...], _Spans] = {}

    def add(self, path: Path) -> Size:
        """Take in a `records.jsonl`; says how much is in it. Raises UsageError as `read` does."""
        at, number = 0, len(self.paths)
        places: set[Place] = set()
        self.paths.append(path)
        self.places.append(places)
        if not path.exists():  # of a run that has measured nothing yet
            return Size(0, 0)
        ok = rows = 0
        for line, sign in parsed(path, lambda line: parse(line, Sign)):
            end = at + len(line) + 1
            self._spans.setdefault(_family(sign), _Spans()).add(number, at, end)
            places.add((sign.machine, sign.device, sign.processor, sign.run_id))
            at = end
            ok += sign.status == "ok"
            rows += 1
        return Size(ok, rows)

    def of(self, taken: Sequence[int]) -> "list[Family]":
        """The families in those files that are taken, by their numbers, in the order of these."""
        order = {number: place for place, number in enumerate(taken)}
        found = [
            Family(self, sorted((s for s in spans if s[0] in order), key=lambda s: order[s[0]]))
            for spans in self._spans.values()
        ]
        return sorted(
            (each for each in found if each.spans), key=lambda each: order[each.spans[0][0]]
        )


class Family:
    """Rows that one machine has measured side by side, on disk."""

    def __init__(self, of: Families, spans: Sequence[tuple[int, int, int]]) -> None:
        self._of = of
        self.spans = spans  # of lines: number of the file, first byte, and that behind the last

    def records(self, shown: Callable[[int, Record], Record]) -> list[Record]:
        """The records, each as it is `shown`, by the number of its file. Raises UsageError."""
        return [shown(number, record) for number, record in self._read()]

    def _read(self) -> Iterator[tuple[int, Record]]:
        for number, start, end in self.spans:
            path, at = self._of.paths[number], start
            try:
                with files.opened(path) as file:
                    file.seek(start)
                    lines = file.read(end - start).split(b"\n")[:-1]
                for line in lines:
                    yield number, from_json(line.decode())
                    at += len(line) + 1
            except OSError as error:
                raise UsageError(f"{path}: cannot be read ({error.strerror})") from None
            except ValueError as error:
                place = f"{path}, line {_line(path, at)}"
                raise UsageError(f"{place}: {told(error)}") from None


class _Spans:
    """Stretches of lines of one family, in 20 bytes each."""

    def __init__(self) -> None:
        self.numbers, self.starts, self.ends = array("I"), array("Q"), array("Q")

    def add(self, number: int, start: int, end: int) -> None:
        """A line behind all others of the files so far."""
        if self.numbers and self.numbers[-1] == number and self.ends[-1] == start:
            self.ends[-1] = end
            return
        self.numbers.append(number)
        self.starts.append(start)
        self.ends.append(end)

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        return zip(self.numbers, self.starts, self.ends, strict=True)


def _family(sign: Any) -> tuple[Any, ...]:
    """What rows share that are measured side by side: as `Cell.beside` has it."""
    workload = "train" if sign.workload == "train+input" else sign.workload
    recipe = sign.recipe or ("constant" if workload == "train" else None)  # as `from_json` has it
    return *alike(sign), workload, recipe


def _line(path: Path, at: int) -> int:
    """The number of the line that begins with a byte."""
    with files.opened(path) as file:
        return file.read(at).count(b"\n") + 1
