"""A model is one row of `architecture.py`, for images of any size."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench.data.datasets import load
from bench.errors import UsageError
from resnet_impls.architecture import ARCHITECTURES, small

# What a run does with a model: data, certificate, training, accuracy
PROGRAM = """
import sys
from functools import partial
from pathlib import Path
import numpy as np
from bench.cells import Cell
from bench.executables import Training
from bench.data.datasets import ARRAYS, load
from bench.identity import checks, problem
from bench.worker import implementations
from bench.worker.measured import MeasuredCell
from resnet_impls.architecture import ARCHITECTURES, small

row = small("resnet8", 1, image_size=64)
ARCHITECTURES[row.name] = row
folder = Path(sys.argv[1])
for dataset in ("digits", "synthetic"):
    data = load(dataset, image_size=64, classes=10, data_dir=None, batch_size=8)
    for name in ARRAYS:
        np.save(folder / f"{name}.npy", getattr(data, name))
    cell = Cell("torch_module", "torch", "eager", row.name, "train", "cpu", "fp32", 8, "sgd",
                "constant", None, dataset, 0, 6)
    measured = MeasuredCell(cell, folder)
    assert measured.build().gflop_per_image == row.training_flops / 1e9
    measured.warm_up(2)
    measured.block(3)
    assert len(measured.finish(None).losses) == 6
posed = problem.pose(problem.small(row))
solution = problem.solve(posed, Training("sgd"))
executable = cell.executable
module = implementations.imported(executable)
build = partial(implementations.built, executable, module, posed.architecture)
found = checks.checks(build, posed, solution, Training("sgd"), "fp32")
assert all(check.passed for check in found), found
"""


def test_a_row_for_images_of_64_pixels_is_fed_trained_and_certified(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert finished.returncode == 0, finished.stderr


def test_images_that_cannot_be_enlarged_by_whole_pixels_are_refused() -> None:
    with pytest.raises(UsageError, match="cannot be enlarged by whole pixels to the 100"):
        load("digits", image_size=100, classes=10, data_dir=None, batch_size=8)


def test_both_families_take_any_image_size_and_number_of_classes() -> None:
    row = small("resnet20", 3, image_size=64, classes=200)
    published = ARCHITECTURES["resnet20"]
    assert row.parameters["head.kernel"] == (64, 200)
    assert row.layers[0].output == (64, 64, 16)
    assert {n: s for n, s in row.parameters.items() if not n.startswith("head")} == {
        n: s for n, s in published.parameters.items() if not n.startswith("head")
    }
