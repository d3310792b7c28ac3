"""The matrix: all the cells that a command line asks for."""

from collections.abc import Iterable, Sequence
from itertools import product

from bench.cells import TRAINING, Cell, UsageError, implementation, unknown
from bench.inputs import NATIVE
from resnet_impls.architecture import ARCHITECTURES
from resnet_impls.catalogue import CATALOGUE, Backend, Implementation

DEFAULT = ("train", "infer")  # workloads that each implementation is asked for if it has them


def contenders(names: Sequence[str]) -> list[tuple[Implementation, Backend]]:
    """What `--impl` names: `torch_module`, `keras_functional[jax]`, a file, or `all`.

    Raises UsageError for an unknown implementation or backend.
    """
    chosen: dict[tuple[str, str], tuple[Implementation, Backend]] = {}
    for text in names:
        name, bracket, wanted = text.partition("[") if not text.endswith(".py") else (text, "", "")
        every = [row for row in CATALOGUE.values() if not row.exhibit]
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


def named(cells: Iterable[Cell], impl: Sequence[str]) -> set[Cell]:
    """Those of `cells` whose contender `--impl` asks for by its name, and not by `all` alone."""
    asked = contenders([name for name in impl if name != "all"])
    by_name = {(_implementation(row), backend.name) for row, backend in asked}
    return {cell for cell in cells if (cell.implementation, cell.backend) in by_name}


def _implementation(row: Implementation) -> str:
    """The key of cells: a name of the catalogue, or the path of a user's file."""
    return row.name if CATALOGUE.get(row.name) is row else row.module


def matrix(
    *,
    impl: Sequence[str],
    mode: Sequence[str] | None,
    model: Sequence[str],
    workload: Sequence[str] | None,
    device: Sequence[str],
    precision: Sequence[str],
    batch_size: Sequence[int],
    optimizer: Sequence[str],
    dataset: str,
    seed: int,
    steps: int,
    threads: Sequence[int | None] = (None,),
    recipe: str = "constant",
    input: Sequence[str] = ("native",),
    target_accuracy: float | None = None,
    evaluate_every: int | None = None,
    cap: int | None = None,
    load_weights: str | None = None,
    all_modes: bool = False,
) -> list[Cell]:
    """Every combination asked for, once; combinations that cannot run are cells too.

    `mode` None means each backend's default, or with `all_modes` all that the device may have;
    `workload` None means train and infer, of what only infers the latter.
    `input` and what follows it concern the workloads train+input and train-to; `cap` None means
    `steps`.
    Raises UsageError for names that do not exist.
    """
    for name in model:
        if name not in ARCHITECTURES:
            raise UsageError(unknown("model", name, ARCHITECTURES))
    cells: dict[Cell, None] = {}
    for row, backend in contenders(impl):
        modes = mode or (backend.modes if all_modes else backend.modes[:1])
        elsewhere = () if mode else backend.cuda_only
        workloads = workload or [name for name in DEFAULT if name in row.workloads]
        axes = (modes, model, workloads, device, precision, batch_size, optimizer)
        for (mode_, model_, workload_, device_, precision_, batch, rule), cpus, fed in product(
            product(*axes), threads, input
        ):
            if device_ == "cpu" and mode_ in elsewhere:
                continue
            trains, reaches = workload_ in TRAINING, workload_ == "train-to"
            fed = NATIVE.get(backend.name, "numpy") if fed == "native" else fed
            cell = Cell(
                implementation=_implementation(row),
                backend=backend.name,
                mode=mode_,
                model=model_,
                workload=workload_,
                device=device_,
                precision=precision_,
                batch_size=batch,
                optimizer=rule if trains else None,
                recipe=recipe if trains else None,
                weights=load_weights,
                dataset=dataset,
                seed=seed,
                steps=cap or steps if reaches else steps,
                threads=cpus,
                input=fed if workload_ == "train+input" else None,
                target_accuracy=target_accuracy if reaches else None,
                evaluate_every=evaluate_every if reaches else None,
            )
            cells[cell] = None
    return list(cells)
