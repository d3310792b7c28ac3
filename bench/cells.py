"""What is measured: a cell, and the executable that it runs."""

from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from bench.errors import UsageError, check_text, unknown
from bench.words import plural
from resnet_impls.catalogue import CATALOGUE, TRAINED, Backend, Implementation
from resnet_impls.devices import DEVICES as KINDS

Workload = Literal["train", "infer", "infer-streams", "train+input", "train-to"]
WORKLOADS: tuple[str, ...] = get_args(Workload)
TRAINING = ("train", "train+input", "train-to")
DEVICES = tuple(KINDS)
PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
MODES = (
    *("eager", "graph", "compiled", "reduce-overhead", "max-autotune"),
    *("cuda-graph", "cuda-graph-compiled"),
)
OPTIMIZERS = ("adam", "sgd", "adamw")
DATASETS = ("digits", "cifar10", "cifar100", "svhn", "synthetic")
BUILT_IN = ("digits", "synthetic")  # datasets that need no file
RECIPES = ("constant", "article", "augmented")
SCHEDULES = ("constant", "cosine", "one-cycle")
LARGEST = 0  # the batch size of a cell whose largest one is still to be found
LEARNING_RATES = {"adam": 1e-3, "sgd": 0.05, "adamw": 1e-3}
WEIGHT_DECAYS = {"sgd": None, "adamw": 0.01}  # of optimizers that have one -> where none is named
BACKENDS = {"jax": "JAX", "tensorflow": "TensorFlow", "torch": "PyTorch"}  # as people write them

# Input pipeline, a file of `bench/data/feeds/` -> the distributions that it needs
INPUTS: dict[str, tuple[str, ...]] = {
    "numpy": (),
    "torch": ("torch",),
    "tensorflow": ("tensorflow",),
}
NATIVE_INPUTS = {"torch": "torch", "tensorflow": "tensorflow"}  # by backend; all others: numpy


@dataclass(frozen=True)
class Training:
    """How a network is trained: all that the reference has to know of it."""

    optimizer: str
    recipe: str = "constant"
    schedule: str | None = None
    weight_decay: float | None = None
    label_smoothing: float | None = None

    @property
    def label(self) -> str:
        """`sgd decay 0.0005 one-cycle smoothing 0.1`, without what it has not."""
        words = (
            self.optimizer,
            self.weight_decay is not None and f"decay {self.weight_decay:g}",
            self.schedule,
            self.label_smoothing is not None and f"smoothing {self.label_smoothing:g}",
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

    @property
    def label(self) -> str:
        """`keras_functional[jax] compiled`."""
        return _label(self)

    @property
    def name(self) -> str:
        """`keras_functional[jax] compiled fp32 resnet14 adam`: all that a message needs."""
        return f"{self.label} {self.precision} {self.model} {self.trained}"

    @property
    def trained(self) -> str:
        """`adam`, or `infer` of what only infers."""
        return self.training.label if self.optimizer else "infer"

    @property
    def training(self) -> Training:
        """How it trains; what only infers is compared with a network that Adam may train."""
        return Training(
            self.optimizer or "adam",
            self.recipe or "constant",
            self.schedule,
            self.weight_decay,
            self.label_smoothing,
        )


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
    input: str | None = None  # the pipeline of train+input, one of INPUTS
    target_accuracy: float | None = None  # of train-to, whose `steps` are at most
    evaluate_every: int | None = None  # steps of train-to between two looks at the accuracy
    streams: int | None = None  # requests under way at once in infer-streams
    schedule: str | None = None  # how the rate changes while training; None: as the recipe says
    weight_decay: float | None = None  # of kernels while training; None: none
    label_smoothing: float | None = None  # part of the target that all classes share; None: none

    @property
    def images_per_step(self) -> int:
        """A step of infer-streams is one request of each stream."""
        return self.batch_size * (self.streams or 1)

    @cached_property
    def label(self) -> str:
        """`keras_functional[jax] compiled`: how reports call the contender."""
        return _label(self) + (f" + {self.input} input" if self.input else "")

    @property
    def known_as(self) -> str:
        """`Keras functional on JAX`: the contender by the name that people use.

        The default mode of Keras and of compilers goes without saying. A user's own file keeps its
        ending, so that it has nobody else's name.
        """
        row = CATALOGUE.get(self.implementation)
        if row is None:
            name = f"{Path(self.implementation).name} {self.mode}"
        else:
            defaults = [b.modes[0] for b in row.backends if b.name == self.backend]
            several = len(row.backends) > 1
            name = row.known_as
            if several:
                name += f" on {BACKENDS.get(self.backend, self.backend)}"
            if self.mode not in defaults or not (several or self.mode == "compiled"):
                name += f" {self.mode}"
        return name + (f" + {self.input} input" if self.input else "")

    @property
    def contest(self) -> tuple[Any, ...]:
        """What cells must share to be compared with each other: all but the contender."""
        return self.contest_without()

    @property
    def beside(self) -> tuple[Any, ...]:
        """What cells must share to be measured side by side: that of a contest, where training that
        is fed by a pipeline counts as training that is not, and inference by many streams as that
        by few, for the ratio of the two.
        """
        fed = self.workload == "train+input"
        return replace(self, workload="train" if fed else self.workload, streams=None).contest

    def contest_without(self, *names: str) -> tuple[Any, ...]:
        """`contest` but for the fields `names`, which cells may then differ in too."""
        return tuple(getattr(self, name) for name in CONTEST if name not in names)

    @property
    def contest_label(self) -> str:
        """`train resnet14 cpu 2 threads fp32 batch 64 adam digits 100 steps`."""
        return self.contest_label_without()

    def contest_label_without(self, *names: str) -> str:
        """`contest_label` but for what the fields `names` say."""
        return " ".join(self.contest_words_without(*names))

    def contest_words_without(self, *names: str) -> list[str]:
        """The same, one text for each field that says something."""
        aim = f"target {self.target_accuracy} tested every {self.evaluate_every} of"
        words = {
            "workload": self.workload,
            "model": self.model,
            "device": self.device,
            "threads": self.threads and plural(self.threads, "thread"),
            "precision": self.precision,
            "batch_size": f"batch {self.batch_size}",
            "streams": self.streams and plural(self.streams, "stream"),
            "optimizer": self.optimizer,
            "weight_decay": self.weight_decay is not None and f"decay {self.weight_decay:g}",
            "schedule": self.schedule,
            "label_smoothing": self.label_smoothing is not None
            and f"smoothing {self.label_smoothing:g}",
            "recipe": self.recipe not in (None, "constant") and f"{self.recipe} recipe",
            "dataset": self.dataset,
            "weights": self.weights and f"from {Path(self.weights).name}",
            "target_accuracy": self.target_accuracy is not None and aim,
            "steps": f"{self.steps} steps",
            "seed": self.seed and f"seed {self.seed}",
        }
        return [str(text) for name, text in words.items() if text and name not in names]

    @property
    def name(self) -> str:
        """The label and that of the contest: no other cell of a run has both."""
        return f"{self.label} {self.contest_label}"

    @property
    def executable(self) -> Executable:
        """What the certificate of this cell is about.

        Inference is certified as part of training with Adam, but for what cannot train.
        """
        trains = "train" in implementation(self.implementation).workloads
        return Executable(
            implementation=self.implementation,
            backend=self.backend,
            mode=self.mode,
            model=self.model,
            device=self.device,
            precision=self.precision,
            optimizer=self.optimizer or "adam" if trains else None,
            recipe=self.recipe or "constant" if trains else None,
            schedule=self.schedule,
            weight_decay=self.weight_decay,
            label_smoothing=self.label_smoothing,
        )

    @property
    def training(self) -> Training | None:
        """How it trains; None where nothing is trained."""
        if self.optimizer is None:
            return None
        return Training(
            self.optimizer,
            self.recipe or "constant",
            self.schedule,
            self.weight_decay,
            self.label_smoothing,
        )

    @property
    def learning_rate(self) -> float | None:
        """The first step's learning rate, and of a schedule the highest; None where nothing is
        trained.
        """
        return LEARNING_RATES[self.optimizer] if self.optimizer else None

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON-ready values; `Cell(**cell.as_dict()) == cell`."""
        return asdict(self)


CONTENDER = ("implementation", "backend", "mode", "input")
CONTEST = tuple(field.name for field in fields(Cell) if field.name not in CONTENDER)


def _label(of: Cell | Executable) -> str:
    row = CATALOGUE.get(of.implementation)  # a row of a merged run may be gone here
    engine = f"[{of.backend}]" if row and len(row.backends) > 1 else ""
    return f"{Path(of.implementation).stem}{engine} {of.mode}"


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
        own = Backend(path.stem, (), MODES, PRECISIONS, DEVICES, anyway)
        workloads = (*TRAINED, "infer-streams")
        return Implementation(path.stem, path.stem, (own,), str(path), workloads=workloads)
    raise UsageError(
        unknown("implementation", name, CATALOGUE) + ", or the path of a Python file that ends "
        "with a class Implementation"
    )


def backend(of: Cell | Executable) -> Backend:
    """The catalogue's row of the engine that a cell or an executable computes on."""
    return next(b for b in implementation(of.implementation).backends if b.name == of.backend)


def lacking(engine: Backend, device: str) -> set[str]:
    """The modes and precisions that an engine has elsewhere, but not on a kind of device."""
    return KINDS[device].lacks.keys() - set(engine.anyway)


def exact_precision(of: Executable) -> str:
    """The most exact precision that an engine computes in on a device: it proves the semantics."""
    exact = backend(of).exact
    return exact if KINDS[of.device].float64 or exact != "fp64" else "fp32"
