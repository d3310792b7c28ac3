"""Inference by several streams at once: what each answers, and what is made of their requests."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from bench.cells import Cell
from bench.cli.main import main, parser
from bench.cli.request import request_of
from bench.obstacles import obstacle
from bench.request.matrix import cells_of
from bench.worker.measured import MeasuredCell
from builders import report_md, timed
from resnet_impls.architecture import ARCHITECTURES
from resnet_impls.catalogue import CATALOGUE, Backend
from resnet_impls.catalogue import Implementation as Row
from resnet_impls.weights import initial_weights

MakeCell = Callable[..., Cell]
MakeFaulty = Callable[[str, str], Path]

STREAMED = [
    (row, engine)
    for row in CATALOGUE.values()
    if "infer-streams" in row.workloads and "resnet14" in row.models
    for engine in row.backends
]
COPIES = """
def streams(self, count):
    from copy import copy
    return [copy(self) for _ in range(count)]
"""


@pytest.mark.parametrize(("row", "engine"), STREAMED, ids=lambda each: each.name)
def test_streams_answer_at_once_what_the_network_answers_alone(row: Row, engine: Backend) -> None:
    architecture = ARCHITECTURES["resnet14"]
    rng = np.random.default_rng(0)
    images = rng.standard_normal((3, 4, 32, 32, 3), np.float32)
    labels = np.zeros((3, 4), np.int32)
    implementation = import_module(row.module).Implementation(
        architecture,
        initial_weights(architecture, 0),
        device="cpu",
        precision="fp32",
        mode=engine.modes[0],
        optimizer="sgd",
        learning_rate=0.1,
    )
    expected = [implementation.predict(batch) for batch in images]
    callers = implementation.streams(2)
    for caller in callers:
        caller.place(images, labels)
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda c: [c.infer(1) for _ in range(6)], callers))
    for answered in answers:
        np.testing.assert_allclose(answered, expected * 2, rtol=1e-4, atol=1e-5)


def measured(cell: Cell, folder: Path) -> MeasuredCell:
    warm = MeasuredCell(cell, folder)
    warm.build()
    warm.warm_up(2)
    return warm


@pytest.fixture
def streamed(make_cell: MakeCell) -> Callable[[Path], Cell]:
    def make(path: Path) -> Cell:
        untrained = {"optimizer": None, "recipe": None}
        return make_cell(path, workload="infer-streams", streams=3, batch_size=4, **untrained)

    return make


def test_a_step_is_a_request_of_each_stream(
    streamed: Callable[[Path], Cell], faulty: MakeFaulty, digits: Path
) -> None:
    body = """
requests = []

def infer(self, steps):
    self.requests.append(id(self))
    return super().infer(steps)
"""
    cell = measured(streamed(faulty("counting", COPIES + body)), digits)
    cell.implementation.requests.clear()  # type: ignore[attr-defined]
    cell.block(5)
    assert len(cell.implementation.requests) == 15  # type: ignore[attr-defined]
    assert len(cell.latency(4).latency_ms) == 12
    assert cell.audit(1e-3).faults == ()


def test_a_stream_that_answers_otherwise_is_refused(
    streamed: Callable[[Path], Cell], faulty: MakeFaulty, digits: Path
) -> None:
    body = """
def streams(self, count):
    from copy import copy
    callers = [copy(self) for _ in range(count)]
    callers[-1].tensors = {name: 1.1 * value for name, value in self.tensors.items()}
    return callers
"""
    [fault] = measured(streamed(faulty("other", body)), digits).audit(1e-3).faults
    assert fault.startswith("infer(1) returned logits ")


def test_what_has_no_streams_says_so(
    streamed: Callable[[Path], Cell], fake: Path, digits: Path
) -> None:
    with pytest.raises(NotImplementedError, match="needs a method streams"):
        MeasuredCell(streamed(fake), digits).build()


def test_streams_are_cells_of_their_workload_alone() -> None:
    words = "run --impl torch_module flax_nnx --workload infer infer-streams --streams 1 2"
    cells = cells_of(request_of(parser().parse_args([*words.split(), "--device", "cpu"])))
    found = [(cell.implementation, cell.workload, cell.streams) for cell in cells]
    assert found[:3] == [
        ("torch_module", "infer", None),
        ("torch_module", "infer-streams", 1),
        ("torch_module", "infer-streams", 2),
    ]
    unsupported = obstacle(cells[-1])
    assert unsupported is not None
    assert "flax_nnx on jax has no workload infer-streams" in unsupported[1]


def test_streams_without_their_workload_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--plan", "--impl", "torch_module", "--streams", "2"]) == 2
    assert "--streams is of infer-streams alone" in capsys.readouterr().err


def test_a_report_sets_streams_against_one() -> None:
    of = {"workload": "infer-streams", "optimizer": None, "recipe": None, "batch_size": 8}
    rows = [
        timed([seconds * n**0.5], streams=n, replicate=i, cohort=str(i), latency_ms=(2.0,), **of)
        for i, seconds in enumerate((1.0, 1.01, 0.99))
        for n in (4, 1)
    ]
    shown = report_md(*rows)
    headings = [line for line in shown.splitlines() if line.startswith("## infer-streams")]
    assert [heading.split(" stream")[-2].split()[-1] for heading in headings] == ["1", "4"]
    assert rows[0].throughput_images_per_s == pytest.approx(8 * 4 / 0.2)
    assert "**Inference by streams, batch 8, 4 streams**" in shown
    lines = shown.partition("## Inference under load")[2].partition("\n## ")[0].splitlines()
    one, four = (line for line in lines if line.startswith("| PyTorch eager | "))
    assert [cell.strip() for cell in one.split("|")][2:5:2] == ["1", "–"]
    assert [cell.strip() for cell in four.split("|")][2:5:2] == ["4", "2.00 [2.00, 2.00]"]
