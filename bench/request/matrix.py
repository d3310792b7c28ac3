"""The matrix: all the cells that a request asks for."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import TypeVar

from bench.cells import DATASETS, INPUTS, LARGEST, NATIVE_INPUTS, TRAINING, WORKLOADS, Cell
from bench.collector import resting
from bench.errors import UsageError, unknown
from bench.executables import (
    BATCH_NORMS,
    DEVICES,
    MODES,
    OPTIMIZERS,
    PRECISIONS,
    RECIPES,
    SCHEDULES,
    WEIGHT_DECAYS,
    Executable,
    implementation,
    lacking,
)
from bench.request.request import Request
from resnet_impls.architecture import ARCHITECTURES
from resnet_impls.catalogue import CATALOGUE, Backend, Implementation

MOST_ROWS = 1_000_000  # of a run: its plan is held in memory, and so are its records in a report
MOST_STEPS = MOST_IMAGES = 10_000_000  # of a cell, of a batch: beyond is a slip, or a damaged file
DEFAULT = ("train", "infer")  # workloads that each implementation is asked for if it has them


def contenders(names: Sequence[str]) -> list[tuple[Implementation, Backend]]:
    """What `--impl` names: `torch_module`, `keras_functional[jax]`, a file, or `all`.

    Raises UsageError for an unknown implementation or backend.
    """
    chosen: dict[tuple[str, str], tuple[Implementation, Backend]] = {}
    for text in names:
        name, bracket, wanted = text.partition("[") if not text.endswith(".py") else (text, "", "")
        every = [row for row in CATALOGUE.values() if not row.opt_in]
        rows = every if text == "all" else [implementation(name)]
        for row in rows:
            backends = {backend.name: backend for backend in row.backends}
            if bracket:
                if not wanted.endswith("]"):
                    raise UsageError(f"--impl {text}: the bracket is not closed")
                wanted = wanted.removesuffix("]")
                if wanted not in backends:
                    raise UsageError(unknown(f"backend of {name}", wanted, backends))
                backends = {wanted: backends[wanted]}
            for backend in backends.values():
                chosen[row.module, backend.name] = row, backend
    called: dict[str, str] = {}  # name in reports, logs and files of weights -> module
    for row, _ in chosen.values():
        if called.setdefault(row.name, row.module) != row.module:
            raise UsageError(f"--impl {' '.join(names)}: two are called {row.name}; rename a file")
    return list(chosen.values())


Subject = TypeVar("Subject", Cell, Executable)


def named(subjects: Iterable[Subject], request: Request) -> set[Subject]:
    """Those whose implementation a request asks for by its name, and not by `all` alone."""
    names = [name for each in request.matrices if each.impl_named for name in each.impl or ()]
    asked = contenders([name for name in names if name != "all"])
    by_name = {(_implementation(row), backend.name) for row, backend in asked}
    return {each for each in subjects if (each.implementation, each.backend) in by_name}


def _implementation(row: Implementation) -> str:
    """The key of cells: a name of the catalogue, or the path of a user's file."""
    return row.name if CATALOGUE.get(row.name) is row else row.module


@resting()
def cells_of(request: Request) -> list[Cell]:
    """Every combination that a request asks for, once; combinations that cannot run are cells too.

    The request has been filled in by `profiles.fill`. Raises UsageError for names that do not
    exist, for more than MOST_ROWS of cells and processes, and for cells beyond all measure.
    """
    if request.also:  # two matrices may not call two files by one name either
        contenders(list(dict.fromkeys(n for each in request.matrices for n in each.impl or ())))
    processes = max(request.max_replicates or 1, request.replicates or 1)
    cells: dict[Cell, None] = {}
    for cell in (cell for each in request.matrices for cell in _product(each)):
        cells[cell] = None
        if len(cells) * processes > MOST_ROWS:
            raise UsageError(
                f"a run has at most {MOST_ROWS:,} rows, and this has {processes:,} for each of "
                f"{len(cells):,} cells and more: ask for fewer processes, or for fewer cells"
            )
    return list(cells)


def _product(request: Request) -> Iterator[Cell]:
    """The cells of one matrix; some may repeat."""
    devices, steps, batch_sizes = request.device, request.steps, request.batch_size
    if devices is None or steps is None or batch_sizes is None or request.impl is None:
        # a run.json may be of a version that kept less, or damaged
        raise UsageError("the options say nothing of impl, device, steps or batch_size")
    _check_names(request)
    _check_sizes(request)
    _check_training(request)
    _check_ranks(request)
    schedule = request.schedule if request.schedule != "constant" else None
    sizes = [LARGEST if size == "max" else size for size in batch_sizes]
    for row, engine in contenders(request.impl):
        name, native = _implementation(row), NATIVE_INPUTS.get(engine.name, "numpy")
        lacks = {device: lacking(engine, device) for device in devices}
        modes = request.mode or (engine.modes if request.all_modes else engine.modes[:1])
        workloads = request.workload or [name for name in DEFAULT if name in row.workloads]
        for mode, model, workload, device, precision, size, rule, threads, given, of in product(
            modes,
            request.model,
            workloads,
            devices,
            request.precision,
            sizes,
            request.optimizer,
            request.threads or (None,),
            request.input,
            product(request.streams or (1,), request.world_size or (1,), request.batch_norm),
        ):
            if not request.mode and mode in lacks[device]:
                continue
            streams, ranks, batch_norm = of
            parallel = workload == "train-dp"
            trains, to_target = workload in TRAINING, workload == "train-to"
            fed = native if given == "native" else given
            yield Cell(
                implementation=name,
                backend=engine.name,
                mode=mode,
                model=model,
                workload=workload,
                device=device,
                precision=precision,
                batch_size=size,
                optimizer=rule if trains else None,
                recipe=request.recipe if trains else None,
                weights=request.load_weights,
                dataset=request.dataset,
                seed=request.seed,
                steps=request.cap or steps if to_target else steps,
                threads=threads,
                input=fed if workload == "train+input" else None,
                target_accuracy=request.target_accuracy if to_target else None,
                evaluate_every=request.evaluate_every if to_target else None,
                streams=streams if workload == "infer-streams" else None,
                schedule=schedule if trains else None,
                weight_decay=request.weight_decay or WEIGHT_DECAYS.get(rule) if trains else None,
                label_smoothing=request.label_smoothing if trains else None,
                world_size=ranks if parallel else None,
                batch_norm=batch_norm if parallel else None,
            )


def _check_sizes(request: Request) -> None:
    """Raises UsageError for numbers whose plan alone would fill the memory."""
    sizes = [size for size in request.batch_size or () if size != "max"]
    for what, given, most in (
        ("steps", (request.steps, request.cap), MOST_STEPS),
        ("images in a batch", sizes, MOST_IMAGES),
    ):
        for number in given:
            if number and number > most:
                raise UsageError(f"{number} {what}: choose at most {most:,}")


def _check_training(request: Request) -> None:
    """Raises UsageError for decay of an optimizer that has none, and for two schedules."""
    without = [rule for rule in request.optimizer if rule not in WEIGHT_DECAYS]
    if request.weight_decay and without:
        raise UsageError(
            f"--weight-decay {request.weight_decay:g}: {without[0]} has none here; choose "
            f"--optimizer {' or '.join(WEIGHT_DECAYS)}"
        )
    if request.schedule != "constant" and request.recipe == "article":
        raise UsageError(
            f"--schedule {request.schedule}: the recipe article has a schedule of its own; choose "
            "--recipe augmented, which has its images alone"
        )


def _check_ranks(request: Request) -> None:
    """Raises UsageError for batches that ranks cannot divide among them, two images or more each:
    one image that has shrunk to a pixel has no variance.
    """
    if "train-dp" not in (request.workload or ()):
        return
    for size, ranks in product(request.batch_size or (), request.world_size or (1,)):
        if size == "max":
            raise UsageError(
                "--batch-size max: train-dp compares world sizes at given batches; name their sizes"
            )
        if size % ranks or size < 2 * ranks:
            raise UsageError(
                f"--batch-size {size} --world-size {ranks}: each rank takes as many images, 2 or "
                f"more; choose a multiple of {ranks}, such as {max(2, -(-size // ranks)) * ranks}"
            )


def _check_names(request: Request) -> None:
    """Raises UsageError for a name that is not known here, as a file of another run may hold."""
    for what, given, known in (
        ("mode", request.mode, MODES),
        ("model", request.model, ARCHITECTURES),
        ("workload", request.workload, WORKLOADS),
        ("device", request.device, DEVICES),
        ("precision", request.precision, PRECISIONS),
        ("optimizer", request.optimizer, OPTIMIZERS),
        ("recipe", (request.recipe,), RECIPES),
        ("schedule", (request.schedule,), SCHEDULES),
        ("dataset", (request.dataset,), DATASETS),
        ("input", request.input, ("native", *INPUTS)),
        ("batch norm", request.batch_norm, BATCH_NORMS),
    ):
        for name in given or ():
            if name not in known:
                raise UsageError(unknown(what, name, known))
