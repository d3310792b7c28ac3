"""The cells as pytest benchmarks: pytest selects, the schedule measures, pytest-benchmark reports.

A test that takes the fixture `measured` runs once for every cell of the matrix that
`--resnet-bench` describes, but only under `--benchmark-only`. All selected cells are measured
first, interleaved as always; each test then replays the blocks of its cell.

pytest finds `pytest_resnet_bench` by itself where the package is installed. In a bare checkout,
`-p bench.pytest_plugin` loads the same hooks and fixtures from here.
"""

import shlex
import statistics
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bench.calibrate.certify import certified
from bench.cells import Cell
from bench.cli.main import parser
from bench.cli.suite import requested
from bench.data.sharing import shared_data
from bench.errors import UsageError
from bench.machine import neighbours
from bench.machine.exclusive import alone
from bench.plan.observed import timed_steps
from bench.records import EXPECTED, Record
from bench.records.run import Neighbour
from bench.request.matrix import named
from bench.request.request import Request
from bench.run.check import cells_here, check_weights
from bench.run.measure import measure
from bench.run.run import described
from pytest_resnet_bench import (
    _resnet_bench_records,
    measured,
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_generate_tests,
)

__all__ = [  # the hooks and fixtures that pytest looks for
    "_resnet_bench_records",
    "measured",
    "pytest_addoption",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_generate_tests",
]

# Of each record's values, what goes to `extra_info`: those known, as medians over the processes.
EXTRA = tuple(
    field.name
    for field in fields(Record)
    if field.name.endswith(("_s", "_mib", "_loss", "_accuracy", "_ms_median"))
    and field.default is None
)


@dataclass(frozen=True)
class Asked:
    """What `--resnet-bench` asks for."""

    request: Request
    cells: list[Cell]
    named: set[Cell]  # by their implementation, and not by `all` alone
    words: str
    timeout_s: float
    machine_name: str | None
    wait: bool  # for the end of another measurement on the machine


@dataclass(frozen=True)
class Measured:
    """What was measured for a session of pytest, and who else used the machine before that."""

    records: dict[Cell, list[Record]]
    neighbours: tuple[Neighbour, ...]


class Replay:
    """A clock that stands still but for the blocks that it replays."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def play(self, benchmark: Any, seconds: Sequence[float]) -> None:
        """Give `benchmark`, whose timer this clock is, one round for each of `seconds`."""
        left = iter(seconds)

        def rewind() -> None:  # each round starts at 0, so that no sum rounds its seconds
            self.now_s = 0.0

        def block() -> None:
            self.now_s = next(left, self.now_s)  # --benchmark-cprofile calls once more

        benchmark.pedantic(block, setup=rewind, rounds=len(seconds))


replay = Replay()


def asked(words: str) -> Asked:
    """What the words of `--resnet-bench` ask for. Raises pytest.UsageError."""
    try:
        return _parsed(words)
    except (UsageError, ValueError) as error:  # ValueError: a quotation mark stands alone
        raise pytest.UsageError(f"--resnet-bench: {error}") from None


def _parsed(words: str) -> Asked:
    options = parser().parse_args(["run", *shlex.split(words)])
    options.words = ["run", *shlex.split(words)]
    options, request = requested(options)
    if any("max" in (each.batch_size or ()) for each in request.matrices):
        raise UsageError("pytest names cells before it runs them: give --batch-size numbers")
    if options.out or options.resume or options.save_weights:
        raise UsageError("pytest keeps the results: leave out --out, --resume and --save-weights")
    for name in ("precision_target", "remeasure_busy", "share_compile_cache"):
        if getattr(options, name):
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(f"{flag} is for `resnet-bench run`: leave it out")
    cells = cells_here(request)
    check_weights(cells)
    if any(timed_steps(cell.steps) == 0 for cell in cells):
        raise UsageError("--steps 1 leaves no step to time after the first: give --steps 2 or more")
    by_name = named(cells, request)
    how = (options.timeout, options.machine_name, options.wait)
    return Asked(request, cells, by_name, words, *how)


def cell_id(cell: Cell) -> str:
    parts = [*cell.contest_label.split(), *cell.label.replace("[", "-").replace("]", "").split()]
    return "-".join(parts)


def records_of(
    asked: Asked, chosen: Sequence[Cell], logs: Path, say: Callable[[str], object]
) -> Measured:
    """The records of all `chosen` cells, measured side by side; `say` is told of a wait, and of
    others who use the machine.
    """
    selected: dict[Cell, list[Record]] = {cell: [] for cell in chosen}
    replicates = range(asked.request.replicates or 1)
    tasks = [(cell, index) for cell in selected for index in replicates]
    data_dir = Path(asked.request.data_dir) if asked.request.data_dir else None
    command = shlex.join(["pytest", "--benchmark-only", "--resnet-bench", asked.words])
    run = described(asked.request, Path("pytest"), datetime.now(UTC), command, asked.machine_name)
    try:
        with (
            alone(wait=asked.wait, say=say),
            shared_data(selected, data_dir) as data_folders,
        ):
            look = neighbours.Look(asked.request.devices)
            certificates = {}
            if asked.request.certify:
                certificates = certified(selected, asked.timeout_s, lambda line: None)
            others = look.end()
            if line := neighbours.told(others):
                say(line)
            records = measure(
                run,
                tasks,
                data_folders,
                certificates,
                logs=logs,
                timeout_s=asked.timeout_s,
            )
            with closing(records):
                for record in records:
                    selected[record.cell].append(record)
    except UsageError as error:
        pytest.exit(f"--resnet-bench: {error}", returncode=2)
    return Measured(selected, others)


def check(records: Sequence[Record], by_name: bool) -> None:
    """Fail the test of a cell that failed; skip it where the cell cannot run, unless named."""
    for record in records:
        if record.status in EXPECTED and not by_name:
            pytest.skip(f"{record.status}: {record.reason}")
        if record.status != "ok":
            pytest.fail(f"{record.status}: {record.reason}", pytrace=False)
    if not seconds_per_step(records):  # nothing that pytest-benchmark could show
        pytest.skip("the target was reached by the first step, which is not timed")


def inform(benchmark: Any, cell: Cell, found: Measured) -> None:
    """Tell pytest-benchmark of a cell what is not time."""
    records = found.records[cell]
    benchmark.group = cell.contest_label
    benchmark.extra_info |= cell.as_dict()
    benchmark.extra_info["neighbours"] = [each.described for each in found.neighbours]
    for name in EXTRA:
        values = [value for record in records if (value := getattr(record, name)) is not None]
        if values:
            benchmark.extra_info[name] = statistics.median(values)


def seconds_per_step(records: Sequence[Record]) -> list[float]:
    """Seconds per step of every block of every process."""
    return [seconds for record in records for seconds in record.step_s]
