"""An executable: a program that computes the network; and what the catalogue says of its engine."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

from bench.errors import UsageError, check_text, unknown
from bench.words import plural
from resnet_impls.catalogue import CATALOGUE, TRAINED, Backend, Implementation, Parallel
from resnet_impls.devices import DEVICES as KINDS

DEVICES = tuple(KINDS)
PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
MODES = (
    *("eager", "graph", "compiled", "reduce-overhead", "max-autotune"),
    *("cuda-graph", "cuda-graph-compiled"),
)
OPTIMIZERS = ("adam", "sgd", "adamw")
RECIPES = ("constant", "article", "augmented")
SCHEDULES = ("constant", "cosine", "one-cycle")
BATCH_NORMS = ("synchronised", "per-replica")  # of data-parallel training
LEARNING_RATES = {"adam": 1e-3, "sgd": 0.05, "adamw": 1e-3}
WEIGHT_DECAYS = {"sgd": None, "adamw": 0.01}  # of optimizers that have one -> where none is named


@dataclass(frozen=True)
class Training:
    """How a network is trained: all that the reference has to know of it."""

    optimizer: str
    recipe: str = "constant"
    schedule: str | None = None
    weight_decay: float | None = None
    label_smoothing: float | None = None
    shards: int | None = None  # parts of a batch that have batch norms of their own; None: one

    @property
    def label(self) -> str:
        """`sgd decay 0.0005 one-cycle smoothing 0.1`, without what it has not."""
        words = (
            self.optimizer,
            self.weight_decay is not None and f"decay {self.weight_decay:g}",
            self.schedule,
            self.label_smoothing is not None and f"smoothing {self.label_smoothing:g}",
            self.shards and plural(self.shards, "shard"),
        )
        return " ".join(word for word in words if word)


@dataclass(frozen=True)
class Executable:
    """A program that computes the network, whatever it is fed: what a certificate is about."""

    implementation: str  # a name of the catalogue, or the path of a Python file
    backend: str
    mode: str
    model: str
    device: str
    precision: str
    optimizer: str | None  # None of what only infers
    recipe: str | None  # how rate and images change while training; None of what only infers
    schedule: str | None = None  # how the rate changes; None: as the recipe says
    weight_decay: float | None = None  # of kernels; None: none
    label_smoothing: float | None = None  # part of the target that all classes share; None: none
    world_size: int | None = None  # ranks that train on a part of each batch; None: not so trained
    batch_norm: str | None = None  # of such ranks, one of BATCH_NORMS

    @property
    def label(self) -> str:
        """`keras_functional[jax] compiled`."""
        return label(self)

    @property
    def name(self) -> str:
        """`keras_functional[jax] compiled fp32 resnet14 adam`: all that a message needs."""
        return f"{self.label} {self.precision} {self.model} {self.trained}"

    @property
    def trained(self) -> str:
        """`adam`, or `infer` of what only infers; `adam 2 ranks synchronised`."""
        if not self.optimizer:
            return "infer"
        ranks = (plural(self.world_size, "rank"), self.batch_norm) if self.world_size else ()
        return " ".join(map(str, (self.training.label, *ranks)))

    @property
    def training(self) -> Training:
        """How it trains; what only infers is compared with a network that Adam may train."""
        return Training(
            self.optimizer or "adam",
            self.recipe or "constant",
            self.schedule,
            self.weight_decay,
            self.label_smoothing,
            self.world_size if self.batch_norm == "per-replica" else None,
        )


class Contender(Protocol):
    """Who competes, a cell's or an executable's: an implementation on a backend, in a mode."""

    @property
    def implementation(self) -> str: ...

    @property
    def backend(self) -> str: ...

    @property
    def mode(self) -> str: ...


def label(of: Contender) -> str:
    """`keras_functional[jax] compiled`."""
    return _label(of.implementation, of.backend, of.mode)


@cache
def _label(name: str, backend: str, mode: str) -> str:
    row = CATALOGUE.get(name)  # a row of a merged run may be gone here
    engine = f"[{backend}]" if row and len(row.backends) > 1 else ""
    return f"{Path(name).stem}{engine} {mode}"


def implementation(name: str) -> Implementation:
    """The catalogue's row of `name`, or a row made for the user's own Python file.

    Raises UsageError where there is neither.
    """
    if name in CATALOGUE:
        return CATALOGUE[name]
    if name.endswith(".py"):
        path = Path(name)
        try:
            found = path.is_file()
        except OSError:  # such as a name that is too long
            found = False
        if not found:
            raise UsageError(f"--impl {name}: there is no such file")
        path = path.absolute()  # and no link followed: it keeps the name that it was given
        check_text(str(path))
        anyway = ("fp16",)  # whose author may know better
        parallel = Parallel(str(path), MODES, BATCH_NORMS)
        own = Backend(path.stem, (), MODES, PRECISIONS, DEVICES, anyway, parallel=parallel)
        workloads = (*TRAINED, "infer-streams")
        return Implementation(path.stem, path.stem, (own,), str(path), workloads=workloads)
    raise UsageError(
        unknown("implementation", name, CATALOGUE) + ", or the path of a Python file that ends "
        "with a class Implementation"
    )


def module(of: Contender, world_size: int | None) -> str:
    """The module that computes it, which is another one where ranks train data-parallel."""
    parallel = backend(of).parallel if world_size else None
    return (parallel or implementation(of.implementation)).module


def backend(of: Contender) -> Backend:
    """The catalogue's row of the engine that a cell or an executable computes on."""
    return next(b for b in implementation(of.implementation).backends if b.name == of.backend)


def lacking(engine: Backend, device: str) -> set[str]:
    """The modes and precisions that an engine has elsewhere, but not on a kind of device."""
    return KINDS[device].lacks.keys() - set(engine.anyway)


def exact_precision(of: Executable) -> str:
    """The most exact precision that an engine computes in on a device: it proves the semantics."""
    exact = backend(of).exact
    return exact if KINDS[of.device].float64 or exact != "fp64" else "fp32"
