"""Every framework computes the reference's function, and keeps to the protocol."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import psutil
import pytest

from bench.cells import Cell
from bench.executables import Training
from bench.identity import problem
from bench.identity.limits import LIMITS
from bench.parent.child import one_worker
from bench.worker.environment import Environment
from bench.worker.protocol import Block, Build, Finish, WarmUp
from networks import MIXED
from resnet_impls import torch_module, torchvision_model
from resnet_impls.architecture import ARCHITECTURES
from resnet_impls.catalogue import CATALOGUE
from resnet_impls.devices import DEVICES
from resnet_impls.weights import initial_weights

Row = tuple[str, str, str]  # implementation, backend, mode
ROWS: list[Row] = [
    (row.name, backend.name, mode)
    for row in CATALOGUE.values()
    for backend in row.backends
    for mode in backend.modes
    if "resnet14" in row.models
    and not row.name.startswith("article")
    and mode not in DEVICES["cpu"].lacks
    and "cpu" in backend.devices
]
DEFAULT = {(row.name, b.name): b.modes[0] for row in CATALOGUE.values() for b in row.backends}
SIBLINGS = ("keras_sequential", "keras_subclass", "keras_fused")  # of keras_functional
TRAINERS = [row for row in ROWS if "train" in CATALOGUE[row[0]].workloads]
BY_DEFAULT = [row for row in ROWS if row[2] == DEFAULT[row[:2]]]
DISTINCT = [row for row in BY_DEFAULT if row[0] not in SIBLINGS]


ARTICLE = Training("sgd", "article")  # where a rate that is carried along in the momentum shows
TRAININGS = (
    Training("adam"),
    Training("sgd", weight_decay=5e-4),
    Training("sgd", "augmented", "one-cycle", weight_decay=5e-4, label_smoothing=0.1),
    Training("adamw", schedule="cosine", weight_decay=0.05),
)


@pytest.fixture(scope="session")
def solved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Training], Path]:
    """The file of the problem and its solution, by how the network trains."""
    posed, folder = problem.pose(MIXED), tmp_path_factory.mktemp("problem")

    @cache
    def file(training: Training) -> Path:
        path = folder / f"{training.label}.npz"
        problem.save(path, posed, problem.solve(posed, training))
        return path

    return file


@pytest.fixture
def program(make_cell: Callable[..., Cell]) -> Callable[..., str]:
    """The last line that a program writes, in the environment of a worker."""

    def run(text: str, *arguments: object, **cell: object) -> str:
        environment = Environment.of(make_cell(threads=1, **cell))  # tests run one for each core
        path = f"{Path(__file__).parents[1]}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        finished = subprocess.run(
            [sys.executable, "-c", text, *map(str, arguments)],
            env=os.environ | environment.variables() | {"PYTHONPATH": path},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return finished.stdout.splitlines()[-1]

    return run


CERTIFIED = [row for row in TRAINERS if row in BY_DEFAULT or row[0] not in SIBLINGS]
# Keras' functional API in further modes; Inductor alone takes three minutes of its graphs
SLOW = [row for row in CERTIFIED if row not in BY_DEFAULT and row[0].startswith("keras")]
QUICK = [row for row in CERTIFIED if row not in SLOW]


def on_backends(rows: list[Row]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Names and modes by backend: to import a framework takes longer than to test with it."""
    backends = dict.fromkeys(backend for _, backend, _ in rows)
    return [(each, [(name, mode) for name, on, mode in rows if on == each]) for each in backends]


CERTIFY = """
import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from bench.executables import Training
from bench.identity import checks as identity, problem
from networks import MIXED

def build(name, mode, weights, optimizer, learning_rate, **options):
    return import_module(f"resnet_impls.{name}").Implementation(
        MIXED, weights, device="cpu", precision="fp64", mode=mode,
        optimizer=optimizer, learning_rate=learning_rate, **options
    )

found, posed = [], problem.load(Path(sys.argv[1]), MIXED)
training, rows = eval(sys.argv[2]), eval(sys.argv[3])
for row in rows:
    checks = identity.checks(partial(build, *row), *posed, training, "fp64")
    found.append((row, len(checks), [check for check in checks if not check.passed]))
print(found)
"""


@pytest.mark.parametrize(
    ("backend", "rows"),
    [
        *on_backends(QUICK),
        *(pytest.param(*each, marks=pytest.mark.long) for each in on_backends(SLOW)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_float64_half_passes(
    backend: str,
    rows: list[tuple[str, str]],
    solved: Callable[[Training], Path],
    program: Callable[..., str],
) -> None:
    cell = {"implementation": rows[0][0], "backend": backend, "precision": "fp64"}
    passed = ", ".join(f"({row}, {len(LIMITS['fp64'])}, [])" for row in rows)
    assert program(CERTIFY, solved(ARTICLE), ARTICLE, rows, **cell) == f"[{passed}]"


@pytest.mark.long
@pytest.mark.parametrize("training", TRAININGS, ids=lambda training: training.label)
@pytest.mark.parametrize(
    ("backend", "rows"),
    on_backends(QUICK),
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_float64_half_passes_with_decay_schedules_and_smoothing(
    backend: str,
    rows: list[tuple[str, str]],
    training: Training,
    solved: Callable[[Training], Path],
    program: Callable[..., str],
) -> None:
    cell = {"implementation": rows[0][0], "backend": backend, "precision": "fp64"}
    passed = ", ".join(f"({row}, {len(LIMITS['fp64'])}, [])" for row in rows)
    assert program(CERTIFY, solved(training), training, rows, **cell) == f"[{passed}]"


def test_torchvision_builds_and_trains_the_same_network() -> None:
    """As `torch_module`, which the reference has certified, from the same weights."""
    network = replace(ARCHITECTURES["resnet18"], image_size=64)
    stream = np.random.default_rng(0)
    images = stream.standard_normal((2, 4, 64, 64, 3))
    labels = stream.integers(0, network.classes, (2, 4)).astype(np.int32)
    found = []
    for module in (torch_module, torchvision_model):
        built = module.Implementation(
            network,
            initial_weights(network, 0),
            **{"device": "cpu", "precision": "fp64", "mode": "eager"},
            **{"optimizer": "sgd", "learning_rate": 0.005},
        )
        built.place(images, labels)
        losses = built.train(2)
        found.append({"losses": losses, "logits": built.predict(images[0]), **built.weights()})
    ours, theirs = found
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_allclose(theirs[name], value, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize(
    ("backend", "rows"),
    on_backends(DISTINCT),
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_batches_are_placed_before_the_first_step_and_bf16_rounds(
    backend: str, rows: list[tuple[str, str]], program: Callable[..., str]
) -> None:
    """What is placed is the device's own, and what is called bf16 is no float32."""
    # engines have bf16 on some processors only
    trains = {name: "train" in CATALOGUE[name].workloads for name, _ in rows}
    placed = f"""
from importlib import import_module
import numpy as np
from resnet_impls.architecture import ARCHITECTURES
from resnet_impls.weights import initial_weights

network = ARCHITECTURES["resnet14"]
found = {{}}
for name, mode in {rows}:
    logits = {{}}
    for precision in ("fp32", "bf16") if {trains}[name] else ("fp32",):
        built = import_module(f"resnet_impls.{{name}}").Implementation(
            network, initial_weights(network, 0), device="cpu", precision=precision, mode=mode,
            optimizer="sgd", learning_rate=0.05,
        )
        images = np.random.default_rng(0).standard_normal((3, 2, 32, 32, 3), np.float32)
        expected = built.predict(images[2].copy())
        built.place(images, np.zeros((3, 2), np.int32))
        images[:] = 0
        logits[precision] = built.infer(3)
        assert np.abs(logits[precision] - expected).max() < 1e-2 * np.abs(expected).max()
    rounding = [np.abs(each / logits["fp32"] - 1).max() for each in logits.values()]
    found[name] = bool(rounding[-1] > 1e-4)
print(found)
"""
    cell = {"implementation": rows[0][0], "backend": backend}
    assert program(placed, **cell) == str(trains)


@pytest.mark.parametrize(
    ("name", "backend", "mode"),
    [row for row in TRAINERS if row in DISTINCT and row[2] != "eager"],  # which compiles nothing
)
@pytest.mark.parametrize("workload", ["train", pytest.param("infer", marks=pytest.mark.long)])
def test_nothing_compiles_after_the_first_step(
    workload: str,
    name: str,
    backend: str,
    mode: str,
    digits: Path,
    make_cell: Callable[..., Cell],
) -> None:
    named = {"implementation": name, "backend": backend, "mode": mode}
    cell = make_cell(**named, workload=workload, batch_size=4, steps=3)
    with one_worker(Environment.of(cell)) as child:
        child.ask(Build(cell=cell, data_folder=str(digits)), 300)
        child.ask(WarmUp(steps=0), 300)
        child.ask(Block(steps=2), 300)
        assert child.ask(Finish(), 300).compilations_while_timed == 0


@pytest.mark.parametrize(
    ("name", "backend", "workload", "skipped"),
    [
        ("keras_functional", "torch", "infer", None),
        *(
            ("keras_functional", backend, "train", "0")
            for backend in ("tensorflow", "jax", "torch")
        ),
        *(
            pytest.param("keras_fused", backend, "train", "0", marks=pytest.mark.long)
            for backend in ("tensorflow", "torch")
        ),
    ],
)
def test_keras_computes_in_fp16_and_skips_no_step(
    name: str,
    backend: str,
    workload: str,
    skipped: str | None,
    digits: Path,
    make_cell: Callable[..., Cell],
) -> None:
    """A GPU's precision, which is slow on a CPU and the same code."""
    named = {"implementation": name, "backend": backend, "mode": DEFAULT[name, backend]}
    cell = make_cell(**named, precision="fp16", workload=workload, batch_size=2, steps=4)
    with one_worker(Environment.of(cell)) as child:
        child.ask(Build(cell=cell, data_folder=str(digits)), 300)
        settings = child.ask(WarmUp(steps=2), 300).settings
    assert settings["computation"] == "float16"
    assert settings.get("skipped_steps") == skipped


def test_keras_does_not_import_what_is_installed_for_the_instrument(
    digits: Path, make_cell: Callable[..., Cell]
) -> None:
    cell = make_cell(implementation="keras_functional", backend="jax", mode="compiled")
    with one_worker(Environment.of(cell)) as child:
        child.ask(Build(cell=cell, data_folder=str(digits)), 300)
        mapped = {Path(each.path) for each in psutil.Process(child.process.pid).memory_maps()}
    packages = {part for path in mapped for part in path.parts}
    assert "jaxlib" in packages
    assert "pandas" not in packages
