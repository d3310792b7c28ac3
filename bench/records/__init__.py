"""Record: the one row that every measurement becomes, and how rows are read back.

A measured value carries its unit in its name and is None, never 0, where it is unknown.
`results/README.md` explains every field.
"""

import dataclasses
import json
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import orjson

from bench.cells import WORKLOADS, Cell

if TYPE_CHECKING:
    import pandas

SCHEMA = 1  # the newest that is understood; all before it are

STATUSES = ("ok", "unavailable", "unsupported", "oom", "timeout", "crashed", "uncertified")
HUGE = 1e15  # no speed and no time is beyond, nor below its inverse
# Ends that are no fault of the run: a row says so, and only a cell asked for by name fails the run
EXPECTED = ("unavailable", "unsupported")


@dataclass(frozen=True, kw_only=True)
class Record:
    """One cell, measured by one process (or the reason why it was not)."""

    schema: int = SCHEMA
    run_id: str
    utc: str  # ISO 8601, when the row was written
    machine: str
    processor: str  # the chip that did the work: the CPU's or the GPU's name

    implementation: str
    framework: str
    backend: str
    mode: str
    model: str
    workload: str
    device: str
    precision: str
    batch_size: int
    optimizer: str | None = None
    recipe: str | None = None
    weights: str | None = None  # the file that the weights were loaded from
    learning_rate: float | None = None  # of the first step
    dataset: str
    seed: int
    steps: int
    threads: int | None = None  # CPUs that the process might use
    input: str | None = None  # the pipeline that fed training
    target_accuracy: float | None = None  # fraction of the test images, 0 to 1
    evaluate_every: int | None = None
    drawn_seed: int | None = None  # of this process's weights and batches
    replicate: int
    cohort: str | None = None  # processes with the same cohort were measured side by side

    status: str
    reason: str | None = None

    throughput_images_per_s: float | None = None  # from the median block
    step_ms_median: float | None = None
    step_ms_p95: float | None = None
    step_ms_p99: float | None = None
    import_s: float | None = None
    build_s: float | None = None
    first_step_s: float | None = None
    warmup_s: float | None = None
    host_baseline_mib: float | None = None
    host_peak_mib: float | None = None
    device_peak_mib: float | None = None
    device_reserved_mib: float | None = None
    device_process_mib: float | None = None
    host_leak_kib_per_step: float | None = None
    device_leak_kib_per_step: float | None = None
    final_loss: float | None = None
    test_accuracy: float | None = None  # fraction of the test images, 0 to 1
    reached_steps: int | None = None  # until test accuracy was `target_accuracy`
    reached_train_s: float | None = None  # of training alone, first step included
    evaluation_s: float | None = None  # of all evaluations until then, or until the last step
    gflop_per_image: float | None = None
    achieved_gflop_per_s: float | None = None
    peak_fraction: float | None = None
    energy_j_per_image: float | None = None
    certificate_float64: str | None = None
    certificate_timed: str | None = None
    steady: bool | None = None
    busy: bool | None = None  # others took much of the machine meanwhile
    load_1min: float | None = None
    cpu_mhz: float | None = None
    gpu_mhz: float | None = None
    temperature_c: float | None = None
    throttled: bool | None = None
    compilations_while_timed: int | None = None

    weights_sha256: str | None = None
    data_sha256: str | None = None
    block_steps: tuple[int, ...] = ()
    block_s: tuple[float, ...] = ()  # seconds of each block of `block_steps` steps
    block_own_cores: tuple[float, ...] = ()  # processors that the worker kept busy
    block_other_cores: tuple[float, ...] = ()  # and those that other processes did
    block_stolen_cores: tuple[float, ...] = ()  # and those that the hypervisor took
    block_host_mib: tuple[float, ...] = ()  # resident memory after each block
    block_device_mib: tuple[float, ...] = ()
    block_j: tuple[float, ...] = ()  # energy
    block_wait_s: tuple[float, ...] = ()  # for the input pipeline, within block_s
    block_place_s: tuple[float, ...] = ()  # for batches to get to the device, within block_s
    accuracies: tuple[float, ...] = ()  # of each evaluation, 0 to 1
    latency_ms: tuple[float, ...] = ()  # single steps, each from idle device to idle device
    losses: tuple[float, ...] = ()  # training loss of every step
    versions: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)  # in force, as read back after warm-up

    @cached_property
    def cell(self) -> Cell:
        """The cell that this row measured."""
        return Cell(**{name: getattr(self, name) for name in _CELL})

    @property
    def weights_seed(self) -> int:
        """The seed that this process drew its weights and batches from."""
        return self.seed if self.drawn_seed is None else self.drawn_seed

    def to_json(self) -> str:
        """One line of `records.jsonl`, without its newline."""
        return json.dumps({name: getattr(self, name) for name in FIELDS}, allow_nan=False)


FIELDS = tuple(f.name for f in fields(Record))
_CELL = tuple(f.name for f in fields(Cell))
_KNOWN = frozenset(FIELDS)
_REQUIRED = {
    f.name
    for f in fields(Record)
    if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
}
SEQUENCES = tuple(f.name for f in fields(Record) if f.default == ())
# The types that a field's plain values may have in JSON, or the items of its list; 1 is a float too
_PLAIN = {str, bool, int, float, type(None)}
_TYPES = {
    f.name: kinds | ({int} if float in kinds else set())
    for f in fields(Record)
    if (kinds := {kind for kind in get_args(f.type) if kind is not ...} or {f.type}) <= _PLAIN
    and f.type != dict[str, str]
}


def from_json(line: str) -> Record:
    """A Record from one line; unknown fields are left out, absent ones are None.

    Raises ValueError that says what is wrong with the line.
    """
    try:
        values: Any = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise ValueError(_wrong(line)) from None
    if not isinstance(values, dict):
        raise ValueError("not a JSON object")
    schema = values.get("schema", SCHEMA)
    if type(schema) is int and schema > SCHEMA:
        raise ValueError(f"schema {schema} is newer than {SCHEMA}, the last known here: update")
    missing = sorted(_REQUIRED - values.keys())
    if missing:
        raise ValueError(f"not a record: no {', '.join(missing)}")
    known = {name: value for name, value in values.items() if name in _KNOWN}
    for name in SEQUENCES:
        value = known.pop(name, [])
        if not isinstance(value, list):
            raise ValueError(f"{name} is not a list")
        known[name] = tuple(value)
    if known["workload"] == "train":
        known.setdefault("recipe", "constant")  # there was no other before the field
    record = Record(**known)
    _check(record)
    return record


def _wrong(line: str) -> str:
    """Why a line is not JSON, in the words of the standard library, which says more."""
    constants: list[str] = []
    try:
        json.loads(line, parse_constant=constants.append)
    except json.JSONDecodeError as error:
        return f"not JSON ({error.msg} at column {error.colno})"
    except RecursionError:
        return "not a record: nested too deeply"
    if constants:
        return f"{constants[0]} is not a value of JSON: unknown is null"
    return "not a record: it has a number that is beyond all measure, or text that is not Unicode"


def _check(record: Record) -> None:
    """Raises ValueError for a value that no reader could make sense of."""
    for name, kinds in _TYPES.items():
        value = getattr(record, name)
        if not (set(map(type, value)) if name in SEQUENCES else {type(value)}) <= kinds:
            raise ValueError(f"{name} has a value of another type than results/README.md says")
    for name, value in (("versions", record.versions), ("settings", record.settings)):
        if type(value) is not dict or not set(map(type, value.values())) <= {str}:
            raise ValueError(f"{name} is not an object of strings")
    for name, value, known in (
        ("status", record.status, STATUSES),
        ("workload", record.workload, WORKLOADS),
    ):
        if value not in known:
            raise ValueError(f"unknown {name} {value!r}")
    if record.batch_size < 1:
        raise ValueError(f"batch_size is {record.batch_size}, and must be 1 or more")
    if len(record.block_s) != len(record.block_steps):
        raise ValueError("block_s and block_steps are not of one length")
    speed = record.throughput_images_per_s
    sizes = (speed, record.host_baseline_mib, record.host_peak_mib, record.reached_train_s)
    given = [value for value in sizes if value is not None]
    positive = (1, *record.block_s, *record.block_steps, *given)
    if not 1 / HUGE < min(positive) <= max(positive) < HUGE:
        names = "block_s, block_steps and throughput_images_per_s"
        raise ValueError(f"{names} must be above 0, and neither tiny nor huge ({HUGE:.0e})")


def load(paths: str | Path | Iterable[str | Path]) -> "pandas.DataFrame":
    """One row per record, in the order given, with the fields of Record as columns: see `frame`.

    `paths`: one or more `records.jsonl`, run folders or folders of those. Raises UsageError as
    `reading.read` does; warns of a last line that a killed run cut off. Needs pandas, an extra.
    """
    from bench.records.frame import frame
    from bench.records.reading import read_all

    given = [paths] if isinstance(paths, str | Path) else paths
    return frame(read_all(map(Path, given), warnings.warn))
