"""A cell is one thing to measure: its keys, what it is called, and why it may not run here."""

import difflib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.inputs import PACKAGES
from resnet_impls.catalogue import CATALOGUE, CUDA_ONLY, Backend, Implementation

WORKLOADS = ("train", "infer", "train+input", "train-to")
TRAINING = ("train", "train+input", "train-to")
DEVICES = ("cpu", "cuda")
PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
MODES = ("eager", "graph", "compiled", "reduce-overhead", "max-autotune")
OPTIMIZERS = ("adam", "sgd")
DATASETS = ("digits", "cifar10", "synthetic")
RECIPES = ("constant", "article")
LARGEST = 0  # the batch size of a cell whose largest one is still to be found
SUBSTITUTES = {"onnxruntime": ("onnxruntime-gpu",)}  # distributions of the same module
LEARNING_RATES = {"adam": 1e-3, "sgd": 0.05}


class UsageError(Exception):
    """A mistake of the user's: what was given, what is allowed and what to do, in one line."""


@dataclass(frozen=True)
class Cell:
    """One thing to measure. Equal cells are the same measurement; a process is its replicate."""

    implementation: str  # a name of the catalogue, or the path of a Python file
    backend: str
    mode: str
    model: str
    workload: str
    device: str
    precision: str
    batch_size: int
    optimizer: str | None  # None where nothing is trained
    recipe: str | None  # how rate and images change while training; None where nothing is trained
    weights: str | None  # the file that training starts from; None: drawn from the seed
    dataset: str
    seed: int
    steps: int
    threads: int | None = None  # CPUs that a worker may use; None: not chosen, not known
    input: str | None = None  # the pipeline of train+input, of `bench.inputs`
    target_accuracy: float | None = None  # of train-to, whose `steps` are at most
    evaluate_every: int | None = None  # steps of train-to between two looks at the accuracy

    @cached_property
    def label(self) -> str:
        """`keras_functional[jax] compiled`: how reports call the contender."""
        row = CATALOGUE.get(self.implementation)  # a row of a merged run may be gone here
        backend = f"[{self.backend}]" if row and len(row.backends) > 1 else ""
        fed = f" + {self.input} input" if self.input else ""
        return f"{Path(self.implementation).stem}{backend} {self.mode}{fed}"

    @property
    def contest(self) -> tuple[Any, ...]:
        """What cells must share to be compared with each other: all but the contender."""
        return tuple(getattr(self, name) for name in CONTEST)

    @property
    def contest_label(self) -> str:
        """`train resnet14 cpu 2 threads fp32 batch 64 adam digits 100 steps`."""
        optimizer = f" {self.optimizer}" if self.optimizer else ""
        recipe = f" {self.recipe} recipe" if self.recipe not in (None, "constant") else ""
        weights = f" from {Path(self.weights).name}" if self.weights else ""
        aim = f" target {self.target_accuracy} tested every {self.evaluate_every} of"
        target = aim if self.target_accuracy is not None else ""
        threads = f"{self.threads} thread{'s' * (self.threads > 1)} " if self.threads else ""
        return (
            f"{self.workload} {self.model} {self.device} {threads}{self.precision} "
            f"batch {self.batch_size}{optimizer}{recipe} {self.dataset}{weights}{target} "
            f"{self.steps} steps" + (f" seed {self.seed}" if self.seed else "")
        )

    @property
    def learning_rate(self) -> float | None:
        """The first step's learning rate; None where nothing is trained."""
        return LEARNING_RATES[self.optimizer] if self.optimizer else None

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON-ready values; `Cell(**cell.as_dict()) == cell`."""
        return asdict(self)


CONTENDER = ("implementation", "backend", "mode", "input")
CONTEST = tuple(field.name for field in fields(Cell) if field.name not in CONTENDER)


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
        cuda_only = tuple(CUDA_ONLY.keys() - {"fp16"})  # whose author may know better
        backend = Backend(path.stem, (), MODES, PRECISIONS, DEVICES, cuda_only)
        return Implementation(path.stem, path.stem, (backend,), str(path.resolve()))
    raise UsageError(
        unknown("implementation", name, CATALOGUE) + ", or the path of a Python file that ends "
        "with a class Implementation"
    )


def unknown(what: str, given: str, allowed: Iterable[str]) -> str:
    """`unknown model 'resnet15' (did you mean 'resnet14'?): choose from …`."""
    allowed = list(allowed)
    close = difflib.get_close_matches(given, allowed, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"unknown {what} {given!r}{hint}: choose from {', '.join(allowed)}"


def obstacle(cell: Cell) -> tuple[str, str] | None:
    """Why a cell cannot run here, as (status, reason); None where nothing is known to forbid it."""
    row = implementation(cell.implementation)
    backend = next(backend for backend in row.backends if backend.name == cell.backend)
    for what, given, allowed in (
        ("workload", cell.workload, row.workloads),
        ("model", cell.model, row.models),
        ("device", cell.device, backend.devices),
        ("precision", cell.precision, backend.precisions),
        ("mode", cell.mode, backend.modes),
    ):
        if given not in allowed:
            reason = (
                f"{row.name} on {backend.name} has no {what} {given}, only {', '.join(allowed)}"
            )
            return "unsupported", reason
    for given in (cell.precision, cell.mode):
        if cell.device == "cpu" and given in backend.cuda_only:
            return "unsupported", CUDA_ONLY[given]
    packages = (*backend.packages, *PACKAGES.get(cell.input or "", ()))
    missing = [package for package in packages if installed(package) is None]
    if missing:
        return "unavailable", f"not installed: {', '.join(missing)}"
    return None


def installed(package: str) -> str | None:
    """The installed version of a distribution, without importing it; None where it is absent."""
    for name in (package, *SUBSTITUTES.get(package, ())):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None
