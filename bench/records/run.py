"""Run: what `run.json` says of a run, its request and its machine. `results/README.md` explains."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.cells import Cell
from bench.request.request import Request
from bench.validation import Count, NotNegative, Positive, PositiveInt


@dataclass(frozen=True, kw_only=True)
class GpuFacts:
    """A GPU as its driver names it."""

    name: str
    memory_gib: Positive | None
    driver: str | None = None
    uuid: str | None = None  # its beginning
    mig: bool | None = None  # divided into instances, of which this is one
    power_limit_w: Positive | None = None
    max_sm_mhz: Positive | None = None
    max_memory_mhz: Positive | None = None
    ecc: bool | None = None  # memory corrects its errors
    pcie: str | None = None  # the fastest link that GPU and machine have in common


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a machine is: facts that stay the same from run to run."""

    machine: str  # its name
    cpu: str
    cpu_flags: tuple[str, ...] = ()
    physical_cores: PositiveInt | None
    logical_cores: PositiveInt | None
    memory_gib: Positive | None
    # what a run may use of all this, and what bounds it; None in runs from before the fields
    usable_cpus: PositiveInt | None = None
    cpu_bound: str | None = None  # host, affinity or control group
    usable_memory_gib: Positive | None = None  # by one process
    memory_bound: str | None = None  # host, control group or limit
    shared_memory_gib: NotNegative | None = None  # free in /dev/shm
    gpus: tuple[GpuFacts, ...] = ()
    os: str
    python: str | None = None

    def processor(self, device: str) -> str:
        """The chip that does the work of a cell on `device`."""
        return self.cpu if device == "cpu" or not self.gpus else self.gpus[0].name

    @property
    def gpu_names(self) -> str:
        """`NVIDIA H200, NVIDIA H200`, or `none`."""
        return ", ".join(gpu.name for gpu in self.gpus) or "none"

    @property
    def description(self) -> str:
        """`desk: Example CPU, 8 cores (16 logical), 31.3 GiB, GPU none; Linux-6.1`.

        What a run may not use is left to brackets: `(16 logical, 2 usable by its affinity)`.
        """
        cpus = memory = ""
        if self.cpu_bound not in (None, "host"):
            cpus = f", {self.usable_cpus} usable by its {self.cpu_bound}"
        if self.memory_bound not in (None, "host"):
            memory = f" ({self.usable_memory_gib} usable by its {self.memory_bound})"
        gpus = ", ".join(f"{gpu.name} ({gpu.memory_gib} GiB)" for gpu in self.gpus) or "none"
        return (
            f"{self.machine}: {self.cpu}, {self.physical_cores} cores "
            f"({self.logical_cores} logical{cpus}), {self.memory_gib} GiB{memory}, GPU {gpus}; "
            f"{self.os}"
        )


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """Another program's process that used the machine just before something was measured."""

    name: str
    pid: Count
    cores: NotNegative | None = None  # processors that it kept busy, on average; None: not known
    on_device: bool = False  # it held the GPU that is measured
    device_mib: NotNegative | None = None  # memory of that GPU; None: not known
    utc: str | None = None  # when it was seen

    @property
    def described(self) -> str:
        """`firefox (pid 4711, 0.42 of a core, 310 MiB of the GPU)`."""
        parts = [f"pid {self.pid}"]
        if self.cores is not None:
            parts.append(f"{self.cores:.2f} of a core")
        if self.on_device:
            known = self.device_mib is not None
            parts.append(f"{self.device_mib:.0f} MiB of the GPU" if known else "on the GPU")
        return f"{self.name} ({', '.join(parts)})"


@dataclass(frozen=True, kw_only=True)
class NoiseFloor:
    """The difference up to which comparisons on a device are ties (0.01: 1 %), and its origin."""

    value: float  # of comparisons of `replicates` processes per cell
    replicates: PositiveInt | None = None
    contender: str | None = None  # what was compared with itself
    contest: str | None = None
    log_ratios: tuple[float, ...] = ()  # of the speeds of each pair
    utc: str | None = None
    neighbours: tuple[Neighbour, ...] | None = None  # seen before; None: nobody looked


@dataclass(frozen=True, kw_only=True)
class Peak:
    """The fastest matrix product and copy that a device was seen to do."""

    gflop_per_s: Positive
    library: str
    copy_gb_per_s: Positive
    utc: str | None = None
    sustained_gflop_per_s: Positive | None = None  # over a second, when warm


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """What a run with a budget did not measure, or no further than it says."""

    what: str  # the label of a contender or of a contest
    reason: str


@dataclass(frozen=True, kw_only=True)
class Rerun:
    """Which rows of which run are measured again."""

    of: str  # its run_id
    rows: tuple[str, ...]  # names of cells


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Which part of a plan a run has measured, and of which plan."""

    number: PositiveInt  # from 1
    of: PositiveInt
    plan: str  # SHA-256 of the whole cut: equal in all shards that belong together

    def __post_init__(self) -> None:
        if self.number > self.of:
            raise ValueError(f"there is no shard {self.name}")

    @property
    def name(self) -> str:
        """`2/3`, as `--shard` takes it."""
        return f"{self.number}/{self.of}"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run: what was asked for, where, and by which code."""

    schema: int = 1
    run_id: str
    utc: str | None = None  # ISO 8601, when it began
    resnet_bench: str | None = None  # version
    commit: str | None = None  # of the code, `-dirty` where it was changed since
    command: str
    options: Request
    machine: Machine
    noise_floor: Mapping[str, NoiseFloor] = field(default_factory=dict)  # by device
    # device -> "threads/precision" -> the machine's peak; None: not measured yet
    peaks: Mapping[str, Mapping[str, Peak]] | None = None
    # wall seconds of the run's own parts, resumed or not; empty: unknown
    spent_s: Mapping[str, NotNegative] = field(default_factory=dict)

    budget_s: Positive | None = None  # wall time that the run was given; None: none
    left_out: tuple[LeftOut, ...] = ()  # for want of time
    rerun: Rerun | None = None  # None: all that `options` ask for
    shard: Shard | None = None  # None: the whole plan
    # kept other measurements on the machine away; False: in part or not at all, None: unknown
    locked: bool | None = None
    # seen before measuring, who takes most first; None: nobody looked
    neighbours: tuple[Neighbour, ...] | None = None
    # installed distribution -> its version, or the address that it is from; empty: unknown
    packages: Mapping[str, str] = field(default_factory=dict)

    def peak_of(self, cell: Cell) -> Peak | None:
        """The peak that `cell` is held against; None where none is known."""
        return (self.peaks or {}).get(cell.device, {}).get(peak_key(cell.threads, cell.precision))

    @property
    def constraints(self) -> str:
        """The packages as a constraints file of pip, one line each."""
        packages = self.packages.items()
        lines = (f"{name} @ {v}" if "://" in v else f"{name}=={v}" for name, v in packages)
        return "".join(f"{line}\n" for line in lines)

    @property
    def code_version(self) -> str | None:
        """`0.1.0 (commit 8eec895f1c2a)`: what made the run; None where unknown."""
        if self.resnet_bench and self.commit:
            return f"{self.resnet_bench} (commit {self.commit})"
        return self.resnet_bench


def peak_key(threads: int | None, precision: str) -> str:
    """What a peak is known by, beside its device: `2/fp32`."""
    return f"{threads or 'all'}/{precision}"
