"""What is measured: a cell."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal, get_args

from bench.executables import LEARNING_RATES, Executable, Training, implementation, label
from bench.words import plural
from resnet_impls.catalogue import CATALOGUE

Workload = Literal["train", "infer", "infer-streams", "train+input", "train-to", "train-dp"]
WORKLOADS: tuple[str, ...] = get_args(Workload)
TRAINING = ("train", "train+input", "train-to", "train-dp")
DATASETS = ("digits", "cifar10", "cifar100", "svhn", "synthetic")
BUILT_IN = ("digits", "synthetic")  # datasets that need no file
LARGEST = 0  # the batch size of a cell whose largest one is still to be found
BACKENDS = {"jax": "JAX", "tensorflow": "TensorFlow", "torch": "PyTorch"}  # as people write them

# Input pipeline, a file of `bench/data/feeds/` -> the distributions that it needs
INPUTS: dict[str, tuple[str, ...]] = {
    "numpy": (),
    "torch": ("torch",),
    "tensorflow": ("tensorflow",),
}
NATIVE_INPUTS = {"torch": "torch", "tensorflow": "tensorflow"}  # by backend; all others: numpy


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
    world_size: int | None = None  # ranks of train-dp, each of which trains on a part of each batch
    batch_norm: str | None = None  # of train-dp, one of BATCH_NORMS

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Kept, since a plan looks each of its cells up dozens of times."""
        return hash(_FIELDS(self))

    def __reduce__(self) -> tuple[Any, ...]:
        """Without what is kept: in another process a text has another hash."""
        return Cell, _FIELDS(self)

    @property
    def images_per_step(self) -> int:
        """A step of infer-streams is one request of each stream."""
        return self.batch_size * (self.streams or 1)

    @cached_property
    def label(self) -> str:
        """`keras_functional[jax] compiled`: how commands and files call the contender."""
        return label(self) + (f" + {self.input} input" if self.input else "")

    @property
    def known_as(self) -> str:
        """`Keras functional on JAX`: the contender by the name that people use, and so reports; in
        a ranking the catalogue's name stands beside it.

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
        return _CONTEST(self)

    @property
    def beside(self) -> tuple[Any, ...]:
        """What cells must share to be measured side by side: that of a contest, where training that
        is fed by a pipeline counts as training that is not, inference by many streams as that by
        few, and training by many ranks as that by few, on batches of any size, for their ratios.
        """
        workload = "train" if self.workload == "train+input" else self.workload
        size = LARGEST if self.world_size else self.batch_size
        return workload, size, *_BESIDE(self)

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
        return [text for name, text in self._words().items() if name not in names]

    def contest_words(self, *names: str) -> list[str]:
        """What the fields `names` say, in the order of a label."""
        return [text for name, text in self._words().items() if name in names] if names else []

    def _words(self) -> dict[str, str]:
        aim = f"target {self.target_accuracy} tested every {self.evaluate_every} of"
        words = {
            "workload": self.workload,
            "model": self.model,
            "device": self.device,
            "threads": self.threads and plural(self.threads, "thread"),
            "precision": self.precision,
            "batch_size": f"batch {self.batch_size}",
            "world_size": self.world_size and plural(self.world_size, "rank"),
            "batch_norm": self.batch_norm and f"{self.batch_norm} batch norm",
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
        return {name: str(text) for name, text in words.items() if text}

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
            world_size=self.world_size,
            batch_norm=self.batch_norm,
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
_FIELDS: Callable[[Cell], tuple[Any, ...]] = attrgetter(*(field.name for field in fields(Cell)))
_CONTEST: Callable[[Cell], tuple[Any, ...]] = attrgetter(*CONTEST)
_BESIDE: Callable[[Cell], tuple[Any, ...]] = attrgetter(
    *(name for name in CONTEST if name not in ("workload", "batch_size", "streams", "world_size"))
)
