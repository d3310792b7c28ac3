"""Every framework computes the reference's function, learning-rate schedule included."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bench import problem
from bench.cells import Cell
from bench.child import Child
from resnet_impls.architecture import ARCHITECTURES
from resnet_impls.catalogue import CATALOGUE

CONTENDERS = [
    (row.name, backend.name, mode)
    for row in CATALOGUE.values()
    for backend in row.backends
    for mode in backend.modes[:1]
    if "resnet14" in row.models and not row.name.startswith("article")
]


@pytest.fixture(scope="session")
def problem_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SGD by the article's recipe, where a rate that is carried along in the momentum shows."""
    posed = problem.pose(ARCHITECTURES["resnet14"])
    path = tmp_path_factory.mktemp("problem") / "resnet14.npz"
    problem.save(path, posed, problem.solve(posed, "sgd", "article"))
    return path


@pytest.mark.parametrize(("name", "backend", "mode"), CONTENDERS)
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
    assert len(answer["checks"]) == 12
    assert [check for check in answer["checks"] if check[1] is None or check[1] > check[2]] == []
