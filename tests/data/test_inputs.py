"""Training fed by input pipelines: real workers, whose batches are compared byte by byte."""

import csv
import subprocess
from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from bench.cells import INPUTS, NATIVE_INPUTS, Cell
from bench.data.augmentation import Batch, Draw, augmented, cut, draws
from bench.data.feeds.numpy_feed import feed
from bench.data.sharing import open_folder
from bench.parent.child import Child
from bench.parent.schedule import by_contest
from bench.records.reading import read
from bench.reports.sections import inputs
from bench.request.matrix import cells_of
from bench.request.request import Request
from bench.worker.fed import TrainFed, sample_print
from bench.worker.protocol import Block, Build, WarmUp
from builders import report, timed
from fake_implementation import Implementation
from resnet_impls.architecture import ARCHITECTURES
from resnet_impls.weights import initial_weights

MakeFaulty = Callable[[str, str], Path]
StartChild = Callable[..., tuple[Child, Build]]
AskAll = Callable[..., Any]
Eventually = Callable[[Callable[[], bool]], bool]
Survivors = Callable[[list[psutil.Process]], list[psutil.Process]]
Run = Callable[..., subprocess.CompletedProcess[str]]

KEEPS = """
def place(self, images, labels):
    with open(HERE / "placed", "ab") as file:
        file.write(images.tobytes() + labels.tobytes())
    super().place(images, labels)
"""
STEPS = 30  # more than an epoch of the digits


@pytest.mark.parametrize("name", INPUTS)
def test_every_pipeline_feeds_the_bytes_that_were_drawn(
    name: str, start_child: StartChild, ask_all: AskAll, faulty: MakeFaulty, digits: Path
) -> None:
    path = faulty("keeps", KEEPS)
    answers = ask_all(start_child(path, workload="train+input", input=name, steps=STEPS, seed=3))
    data = open_folder(digits)
    stream = augmented(data.train_images, data.train_labels, 64, seed=3)
    batches = list(islice(stream, STEPS))
    fed = path.with_name("placed").read_bytes()
    wanted = b"".join(images.tobytes() + labels.tobytes() for images, labels in batches)
    assert fed[: len(wanted)] == wanted

    prints = [sample_print(step, *batch) for step, batch in enumerate(batches)]
    assert answers.finished.data_sha256 == sha256("".join(prints).encode()).hexdigest()
    assert len(answers.finished.losses) == STEPS
    assert answers.finished.losses[-1] < answers.finished.losses[0]
    assert answers.block.place_s > 0
    assert answers.block.wait_s + answers.block.place_s < answers.block.block_s


def test_processes_of_a_pipeline_are_suspended_and_end_with_their_worker(
    start_child: StartChild, fake: Path, eventually: Eventually, survivors: Survivors
) -> None:
    child, build = start_child(fake, workload="train+input", input="torch", steps=10)
    child.ask(build, 120)
    child.ask(WarmUp(steps=1), 60)
    helpers = psutil.Process(child.process.pid).children(recursive=True)
    assert helpers
    stopped = psutil.STATUS_STOPPED
    assert eventually(lambda: all(helper.status() == stopped for helper in helpers))
    child.ask(Block(steps=8), 60)
    assert eventually(lambda: all(helper.status() == stopped for helper in helpers))
    child.end()
    assert survivors(helpers) == []


def fed(pipeline: Iterator[Batch], drawn: Iterator[Batch]) -> TrainFed:
    architecture = ARCHITECTURES["resnet14"]
    options = {"device": "cpu", "precision": "fp32", "mode": "eager", "optimizer": "sgd"}
    implementation = Implementation(
        architecture, initial_weights(architecture, 0), **options, learning_rate=0.05
    )
    return TrainFed(implementation, [0.05] * 4, pipeline, drawn)


def other(batches: Iterator[Batch], step: int, labels: int) -> Iterator[Batch]:
    """The same batches but for one, in which an image or a label is another."""
    for index, (images, answers) in enumerate(batches):
        if index == step:
            images[step, 0, 0, 0] += 1 - labels
            answers[0] += labels
        yield images, answers


@pytest.mark.parametrize("labels", [0, 1])
def test_a_pipeline_that_feeds_what_was_not_drawn_is_found_out(labels: int, digits: Path) -> None:
    data = open_folder(digits)

    def stream() -> Iterator[Batch]:
        return augmented(data.train_images, data.train_labels, 64, seed=0)

    honest = fed(stream(), stream())
    faked = fed(other(stream(), 2, labels), stream())
    for workload in (honest, faked):
        workload.prepare(4)
        workload.run(4)
    assert len(honest.outcome(data, 64).losses) == 4
    with pytest.raises(ValueError, match="not drawn, at step 3"):
        faked.outcome(data, 64)


def test_what_goes_wrong_in_the_feeding_thread_is_raised_where_its_batch_is_awaited() -> None:
    def broken() -> Iterator[Draw]:
        yield next(draws(8, 4, 0))
        raise OSError("the disk is gone")

    images, labels = np.zeros((8, 16, 16, 3), np.float32), np.arange(8, dtype=np.int32)
    batches = feed(images, labels, broken(), 1)
    assert next(batches)[0].shape == (4, 16, 16, 3)
    with pytest.raises(OSError, match="the disk is gone"):
        next(batches)


def test_a_draw_alone_decides_what_is_cut_out() -> None:
    images = np.arange(2 * 4 * 4 * 3, dtype=np.float32).reshape(2, 4, 4, 3)
    still, corner = np.full((1, 2), 4), np.array([[3, 5]])
    one, plain, mirrored = np.array([1]), np.array([False]), np.array([True])
    assert np.array_equal(cut(images, Draw(one, still, plain)), images[1:])
    assert np.array_equal(cut(images, Draw(one, still, mirrored)), images[1:, :, ::-1])
    moved = cut(images, Draw(one, corner, plain))[0]
    assert np.array_equal(moved[1:, :3], images[1, :3, 1:])
    assert not moved[0].any()
    assert not moved[:, 3].any()


def cells(impl: str, workload: tuple[str, ...], *inputs: str) -> list[Cell]:
    request = Request(
        impl=(impl,),
        workload=workload,
        device=("cpu",),
        batch_size=(64,),
        steps=100,
        input=inputs or ("native",),
    )
    return cells_of(request)


def test_each_backend_is_fed_by_its_own_pipeline_unless_another_is_named() -> None:
    every = cells("keras_functional", ("train+input",))
    assert {cell.input for cell in every} == {NATIVE_INPUTS.get(c.backend, "numpy") for c in every}
    both = ("train", "train+input")
    named = cells("torch_module", both, "native", "numpy", "tensorflow")
    assert [cell.input for cell in named] == [None, "torch", "numpy", "tensorflow"]
    assert len(by_contest([(cell, 0) for cell in named])) == 1
    assert len({cell.contest for cell in named}) == 2
    assert named[1].label == "torch_module eager + torch input"


def test_a_run_shows_the_speed_with_input_beside_that_without(
    fake: Path, resnet_bench: Run, tmp_path: Path
) -> None:
    finished = resnet_bench(
        *("run", "--impl", fake, "--workload", "train", "train+input", "--input", "native"),
        *("torch", "--optimizer", "sgd", "--no-certify", "--steps", 20, "--replicates", 2),
        *("--out", "run"),
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    rows = read(tmp_path / "run")
    assert sorted(row.input or "" for row in rows) == ["", "", "numpy", "numpy", "torch", "torch"]
    for replicate in (0, 1):
        assert len({row.cohort for row in rows if row.replicate == replicate}) == 1
    fed_rows = [row for row in rows if row.input]
    assert len({row.data_sha256 for row in fed_rows}) == 1
    for row in fed_rows:
        spent = zip(row.block_wait_s, row.block_place_s, row.block_s, strict=True)
        assert all(wait_s + place_s < block_s for wait_s, place_s, block_s in spent)
        assert row.test_accuracy is not None
        assert row.block_own_cores
    report = (tmp_path / "run" / "report.md").read_text()
    section = report.partition("\n## Input\n")[2].partition("\n## ")[0]
    assert "| fake_implementation.py eager + torch input |" in section
    with (tmp_path / "run" / "summary.csv").open() as file:
        assert {row["input"] for row in csv.DictReader(file)} == {"", "numpy", "torch"}


def test_the_ratio_is_of_the_same_rounds_and_the_waiting_a_part_of_the_blocks() -> None:
    changes: dict[str, Any] = {"workload": "train+input", "input": "torch"}
    spent = {"block_wait_s": (1.0, 0.5), "block_place_s": (0.1, 0.1)}
    rows = [timed([2.0, 4.0]), timed([4.0, 8.0], **changes | spent)]
    table = inputs.section(report(*rows)).splitlines()[-1]
    assert table.startswith("| PyTorch eager + torch input |")
    assert table.endswith("| 0.50 | 12.5% | 1.7% |")
    assert "| – | – | 12.5% |" in inputs.section(report(*rows[1:]))
    assert inputs.section(report(*rows[:1])) == ""
