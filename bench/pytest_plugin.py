"""The cells as pytest benchmarks: pytest selects, the schedule measures, pytest-benchmark reports.

Loaded by `-p bench.pytest_plugin`. A test that takes the fixture `measured` runs once for every
cell of the matrix that `--resnet-bench` describes, but only under `--benchmark-only`. All selected
cells are measured first, interleaved as always; each test then replays the blocks of its cell.
"""

import shlex
import statistics
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from bench.analysis.statistics import step_s
from bench.calibrate.certify import certified
from bench.cells import Cell
from bench.cli.main import parser
from bench.cli.request import request_of
from bench.data.sharing import shared_data
from bench.errors import UsageError
from bench.records import EXPECTED, Record
from bench.request.matrix import named
from bench.request.request import Request
from bench.run.check import cells_here, check_weights
from bench.run.measure import measure
from bench.run.run import described

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


ASKED = pytest.StashKey[Asked]()


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
            self.now_s = next(left)

        benchmark.pedantic(block, setup=rewind, rounds=len(seconds))


replay = Replay()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("resnet-bench").addoption(
        "--resnet-bench",
        metavar="OPTIONS",
        default="",
        help="what --benchmark-only measures: options of `resnet-bench run`, in one string such as "
        "'--profile smoke --impl torch_module'",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Read the options once. Raises pytest.UsageError for those that `run` would refuse."""
    if _wanted(config):
        try:
            config.stash[ASKED] = _asked(config.getoption("--resnet-bench"))
        except (UsageError, ValueError) as error:  # ValueError: a quotation mark stands alone
            raise pytest.UsageError(f"--resnet-bench: {error}") from None


def _asked(words: str) -> Asked:
    options = parser().parse_args(["run", *shlex.split(words)])
    if "max" in (options.batch_size or ()):
        raise UsageError("pytest names cells before it runs them: give --batch-size numbers")
    if options.out or options.resume or options.save_weights:
        raise UsageError("pytest keeps the results: leave out --out, --resume and --save-weights")
    if options.precision_target:
        raise UsageError("--precision-target is for `resnet-bench run`: leave it out")
    request = request_of(options)
    cells = cells_here(request)
    check_weights(cells)
    by_name = named(cells, request.impl)
    return Asked(request, cells, by_name, words, options.timeout, options.machine_name)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per cell for whoever takes `measured`; none without --benchmark-only."""
    if "measured" in metafunc.fixturenames:
        asked = metafunc.config.stash.get(ASKED, None)
        cells = asked.cells if asked else []
        metafunc.parametrize("measured", cells, ids=_id, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the benchmarks out, rather than skip them, where they were not asked for."""
    if not _wanted(config):
        left_out = [item for item in items if "measured" in getattr(item, "fixturenames", ())]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def _records(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[Cell, list[Record]]:
    """The records of all selected cells, measured side by side when the first is needed."""
    asked = request.config.stash[ASKED]
    selected: dict[Cell, list[Record]] = {}
    for item in request.session.items:
        if isinstance(item, pytest.Function) and "measured" in item.fixturenames:
            selected[cast(Cell, item.callspec.params["measured"])] = []
    replicates = range(asked.request.replicates or 1)
    tasks = [(cell, index) for cell in selected for index in replicates]
    data_dir = Path(asked.request.data_dir) if asked.request.data_dir else None
    command = shlex.join(["pytest", "--benchmark-only", "--resnet-bench", asked.words])
    run = described(asked.request, Path("pytest"), datetime.now(UTC), command, asked.machine_name)
    try:
        with shared_data(selected, data_dir) as data_folders:
            certificates = {}
            if asked.request.certify:
                certificates = certified(selected, asked.timeout_s, lambda line: None)
            records = measure(
                run,
                tasks,
                data_folders,
                certificates,
                logs=tmp_path_factory.mktemp("logs"),
                timeout_s=asked.timeout_s,
            )
            with closing(records):
                for record in records:
                    selected[record.cell].append(record)
    except UsageError as error:
        pytest.exit(f"--resnet-bench: {error}", returncode=2)
    return selected


@pytest.fixture
def measured(request: pytest.FixtureRequest, _records: dict[Cell, list[Record]]) -> list[Record]:
    """The records of one cell, one per process, their values in the benchmark's `extra_info`.

    A cell that failed fails its test; one that cannot run here is skipped, unless it was named.
    """
    records = _records[request.param]
    by_name = request.param in request.config.stash[ASKED].named
    for record in records:
        if record.status in EXPECTED and not by_name:
            pytest.skip(f"{record.status}: {record.reason}")
        if record.status != "ok":
            pytest.fail(f"{record.status}: {record.reason}", pytrace=False)
    benchmark = request.getfixturevalue("benchmark")  # not before: it warns where it is not used
    benchmark.group = request.param.contest_label
    benchmark.extra_info |= request.param.as_dict()
    for name in EXTRA:
        values = [value for record in records if (value := getattr(record, name)) is not None]
        if values:
            benchmark.extra_info[name] = statistics.median(values)
    return records


def seconds_per_step(records: Sequence[Record]) -> list[float]:
    """Seconds per step of every block of every process."""
    return [seconds for record in records for seconds in step_s(record)]


def _wanted(config: pytest.Config) -> bool:
    return bool(config.getoption("benchmark_only", False))


def _id(cell: Cell) -> str:
    parts = [*cell.contest_label.split(), *cell.label.replace("[", "-").replace("]", "").split()]
    return "-".join(parts)
