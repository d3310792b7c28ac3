"""Every framework computes the reference's function, and keeps to the protocol."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from bench.cells import Cell
from bench.certificate import problem
from bench.certificate.identity import LIMITS
from bench.parent.child import Child, environment
from resnet_impls.architecture import ARCHITECTURES
from resnet_impls.catalogue import CATALOGUE

CONTENDERS = [
    (row.name, backend.name, mode)
    for row in CATALOGUE.values()
    for backend in row.backends
    for mode in backend.modes[:1]
    if "resnet14" in row.models and not row.name.startswith("article")
]
TRAINERS = [row for row in CONTENDERS if "train" in CATALOGUE[row[0]].workloads]


@pytest.fixture(scope="session")
def problem_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SGD by the article's recipe, where a rate that is carried along in the momentum shows."""
    posed = problem.pose(ARCHITECTURES["resnet14"])
    path = tmp_path_factory.mktemp("problem") / "resnet14.npz"
    problem.save(path, posed, problem.solve(posed, "sgd", "article"))
    return path


@pytest.mark.parametrize(("name", "backend", "mode"), TRAINERS)
def test_the_float64_half_passes(
    name: str,
    backend: str,
    mode: str,
    problem_file: Path,
    make_cell: Callable[..., Cell],
    tmp_path: Path,
) -> None:
    cell = make_cell(
        implementation=name, backend=backend, mode=mode, precision="fp64", recipe="article"
    )
    child = Child(cell, None, tmp_path / "log")
    try:
        answer = child.ask("certify", 300, problem_file=str(problem_file))
    finally:
        child.end()
    assert len(answer["checks"]) == len(LIMITS["fp64"])
    assert [check for check in answer["checks"] if check[1] is None or check[1] > check[2]] == []


@pytest.mark.parametrize(
    ("name", "backend", "mode"),
    [row for row in CONTENDERS if not row[0].startswith("keras") or row[1] == "jax"],
)
def test_batches_are_on_the_device_before_the_first_step(
    name: str, backend: str, mode: str, make_cell: Callable[..., Cell]
) -> None:
    program = f"""
import numpy as np
from resnet_impls.architecture import ARCHITECTURES
from resnet_impls.{name} import Implementation
from resnet_impls.weights import initial_weights

class Watched:
    taken = 0
    def __iter__(self):
        for image in np.zeros((3, 2, 32, 32, 3), np.float32):
            self.taken += 1
            yield image

network, images = ARCHITECTURES["resnet14"], Watched()
built = Implementation(
    network, initial_weights(network, 0), device="cpu", precision="fp32", mode={mode!r},
    optimizer="sgd", learning_rate=0.05,
)
built.place(images, np.zeros((3, 2), np.int32))
print("taken", images.taken)
"""
    finished = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | environment(make_cell(implementation=name, backend=backend)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert finished.stdout.splitlines()[-1] == "taken 3"


@pytest.mark.parametrize(
    ("name", "backend", "mode"),
    [row for row in TRAINERS if not row[0].startswith("keras") or row[0] == "keras_functional"],
)
@pytest.mark.parametrize("workload", ["train", "infer"])
def test_nothing_compiles_after_the_first_step(
    workload: str,
    name: str,
    backend: str,
    mode: str,
    digits: Path,
    make_cell: Callable[..., Cell],
    tmp_path: Path,
) -> None:
    named = {"implementation": name, "backend": backend, "mode": mode}
    cell = make_cell(**named, workload=workload, batch_size=4, steps=3)
    child = Child(cell, digits, tmp_path / "log")
    try:
        child.ask("build", 300)
        child.ask("warm_up", 300, steps=0)
        child.ask("block", 300, steps=2)
        answer = child.ask("finish", 300, weights_file=None)
    finally:
        child.end()
    assert answer["compilations_while_timed"] == 0


@pytest.mark.parametrize(
    ("name", "backend", "mode"), [row for row in TRAINERS if row[0].startswith("keras")]
)
@pytest.mark.parametrize(("workload", "skipped"), [("infer", None), ("train", "0")])
def test_keras_computes_in_fp16_and_skips_no_step(
    workload: str,
    skipped: str | None,
    name: str,
    backend: str,
    mode: str,
    digits: Path,
    make_cell: Callable[..., Cell],
    tmp_path: Path,
) -> None:
    """A GPU's precision, which is slow on a CPU and the same code."""
    named = {"implementation": name, "backend": backend, "mode": mode}
    cell = make_cell(**named, precision="fp16", workload=workload, batch_size=2, steps=4)
    child = Child(cell, digits, tmp_path / "log")
    try:
        child.ask("build", 300)
        answer = child.ask("warm_up", 300, steps=2)
    finally:
        child.end()
    assert answer["settings"]["computation"] == "float16"
    assert answer["settings"].get("skipped_steps") == skipped


def test_keras_does_not_import_what_is_installed_for_the_instrument(
    digits: Path, make_cell: Callable[..., Cell], tmp_path: Path
) -> None:
    cell = make_cell(implementation="keras_functional", backend="jax", mode="compiled")
    child = Child(cell, digits, tmp_path / "log")
    try:
        child.ask("build", 300)
        mapped = {Path(each.path) for each in psutil.Process(child.process.pid).memory_maps()}
    finally:
        child.end()
    packages = {part for path in mapped for part in path.parts}
    assert "jaxlib" in packages
    assert packages & {"pandas", "sklearn"} == set()
