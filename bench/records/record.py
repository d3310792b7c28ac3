"""Record: the one row that every measurement becomes, and how a row is read back.

A measured value carries its unit in its name and is None, never 0, where it is unknown.
`results/README.md` explains every field.
"""

import json
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Literal

from bench.cells import Cell, Workload
from bench.validation import Count, NotNegative, Number, Positive, PositiveInt, parse

SCHEMA = 1  # the newest that is understood; all before it are

Status = Literal["ok", "unavailable", "unsupported", "oom", "timeout", "crashed", "uncertified"]
# Ends that are no fault of the run: a row says so, and only a cell asked for by name fails the run
EXPECTED = ("unavailable", "unsupported")


@dataclass(frozen=True, kw_only=True)
class Record:
    """One cell, measured by one process (or the reason why it was not)."""

    schema: Count = SCHEMA
    run_id: str
    utc: str  # ISO 8601, when the row was written
    machine: str
    processor: str  # the chip that did the work: the CPU's or the GPU's name

    implementation: str
    framework: str
    backend: str
    mode: str
    model: str
    workload: Workload
    device: str
    precision: str
    batch_size: PositiveInt
    optimizer: str | None = None
    recipe: str | None = None
    weights: str | None = None  # the file that the weights were loaded from
    learning_rate: Number | None = None  # of the first step; of a schedule the highest
    schedule: str | None = None  # None: the rate changes as the recipe says
    weight_decay: NotNegative | None = None  # None: none
    label_smoothing: NotNegative | None = None  # None: none
    dataset: str
    seed: Count
    steps: PositiveInt
    threads: PositiveInt | None = None  # CPUs that the process might use
    input: str | None = None  # the pipeline that fed training
    target_accuracy: Number | None = None  # fraction of the test images, 0 to 1
    evaluate_every: PositiveInt | None = None
    streams: PositiveInt | None = None  # requests under way at once
    world_size: PositiveInt | None = None  # ranks, each of which trained on a part of each batch
    batch_norm: str | None = None  # of such ranks: synchronised or per-replica
    drawn_seed: Count | None = None  # of this process's weights and batches
    replicate: Count
    attempt: Count = 0  # above 0: measured again, since the machine was busy in those before
    cohort: str | None = None  # processes with the same cohort were measured side by side
    compile_cache_warm: bool | None = None  # by an earlier process of the cell; None: none shared

    status: Status
    reason: str | None = None

    throughput_images_per_s: Positive | None = None  # from the median block
    step_ms_median: Number | None = None
    step_ms_p95: Number | None = None
    step_ms_p99: Number | None = None
    import_s: Number | None = None
    build_s: Number | None = None
    first_step_s: Number | None = None
    warmup_s: Number | None = None
    warmup_steps: Count | None = None
    host_baseline_mib: Positive | None = None
    host_peak_mib: Positive | None = None
    device_peak_mib: Number | None = None
    device_reserved_mib: Number | None = None
    device_process_mib: Number | None = None
    device_program_mib: Number | None = None  # that one step needs, by its compiled program
    host_leak_kib_per_step: Number | None = None
    device_leak_kib_per_step: Number | None = None
    final_loss: float | None = None
    test_accuracy: Number | None = None  # fraction of the test images, 0 to 1
    reached_steps: PositiveInt | None = None  # until test accuracy was `target_accuracy`
    reached_train_s: Positive | None = None  # of training alone, first step included
    evaluation_s: Number | None = None  # of all evaluations until then, or until the last step
    gflop_per_image: Number | None = None
    achieved_gflop_per_s: Number | None = None
    peak_fraction: Number | None = None
    energy_j_per_image: Number | None = None
    certificate_float64: str | None = None
    certificate_timed: str | None = None
    steady: bool | None = None
    busy: bool | None = None  # others took much of the machine meanwhile
    load_1min: Number | None = None
    cpu_mhz: Number | None = None
    gpu_mhz: Number | None = None
    temperature_c: Number | None = None
    throttled: bool | None = None
    power_capped_s: Number | None = None  # of block_s: the limit of power held the clock down
    compilations_while_timed: Count | None = None
    communication_share: float | None = None  # of a step of several ranks, 0 to 1 but for noise

    saved_weights: str | None = None  # the file of the trained weights, from the run's folder
    weights_sha256: str | None = None
    data_sha256: str | None = None
    block_steps: tuple[PositiveInt, ...] = ()
    block_s: tuple[Positive, ...] = ()  # seconds of each block of `block_steps` steps
    block_own_cores: tuple[Number, ...] = ()  # processors that the worker kept busy
    block_other_cores: tuple[Number, ...] = ()  # and those that other processes did
    block_stolen_cores: tuple[Number, ...] = ()  # and those that the hypervisor took
    block_host_mib: tuple[Number, ...] = ()  # resident memory after each block
    block_device_mib: tuple[Number, ...] = ()
    block_j: tuple[Number, ...] = ()  # energy
    block_wait_s: tuple[Number, ...] = ()  # for the input pipeline, within block_s
    block_place_s: tuple[Number, ...] = ()  # for batches to get to the device, within block_s
    accuracies: tuple[Number, ...] = ()  # of each evaluation, 0 to 1
    latency_ms: tuple[Number, ...] = ()  # single steps, each from idle device to idle device
    losses: tuple[float, ...] = ()  # training loss of every step
    versions: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)  # in force, as read back after warm-up
    # wall seconds of the run that each kind of request took in this process; empty: unknown
    request_s: dict[str, NotNegative] = field(default_factory=dict)

    @cached_property
    def cell(self) -> Cell:
        """The cell that this row measured."""
        return Cell(**{name: getattr(self, name) for name in _CELL})

    @cached_property
    def step_s(self) -> list[float]:
        """Seconds per step of each block; kept, since a row is compared with many others."""
        return [s / n for s, n in zip(self.block_s, self.block_steps, strict=True)]

    @property
    def weights_seed(self) -> int:
        """The seed that this process drew its weights and batches from."""
        return self.seed if self.drawn_seed is None else self.drawn_seed

    def to_json(self) -> str:
        """One line of `records.jsonl`, without its newline."""
        return json.dumps({name: getattr(self, name) for name in FIELDS}, allow_nan=False)


FIELDS = tuple(f.name for f in fields(Record))
_CELL = tuple(f.name for f in fields(Cell))
BLOCKS = tuple(name for name in FIELDS if name.startswith("block_") and name != "block_s")
SEQUENCES = tuple(f.name for f in fields(Record) if f.default == ())


@dataclass(frozen=True)
class _Version:
    schema: int = SCHEMA


def from_json(line: bytes | str) -> Record:
    """A Record from one line; unknown fields are left out, absent ones are None.

    Raises ValueError that says what is wrong with the line.
    """
    try:
        record = parse(line, Record)
    except ValueError as error:
        _refuse_newer(line, error)
        raise
    if record.schema > SCHEMA:
        raise ValueError(_newer(record.schema))
    for name in BLOCKS:
        known = getattr(record, name) or name == "block_steps"
        if known and len(getattr(record, name)) != len(record.block_s):
            raise ValueError(f"block_s and {name} are not of one length")
    if record.workload == "train" and record.recipe is None:
        return replace(record, recipe="constant")  # there was no other before the field
    return record


def _refuse_newer(line: bytes | str, error: ValueError) -> None:
    """Raises ValueError where a line is of a newer schema, which explains what is wrong with it."""
    try:
        schema = parse(line, _Version).schema
    except ValueError:
        return
    if schema > SCHEMA:
        raise ValueError(_newer(schema)) from error


def _newer(schema: int) -> str:
    return f"schema {schema} is newer than {SCHEMA}, the last known here: update"
