"""Which halves of a certificate are worked out, and which are taken as they are known."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import resnet_impls
from bench.calibrate import certify
from bench.cells import Cell
from bench.cli.main import main

Worked = list[tuple[str, str]]  # optimizer and precision of each half that was worked out


@pytest.fixture
def worked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Worked:
    """An empty cache, and halves that pass without a process of their own."""
    found: Worked = []

    def half(subject: Cell, timeout_s: float) -> certify.Half:
        found.append((str(subject.optimizer), subject.precision))
        if subject.optimizer == "adam" and subject.precision == "bf16":
            return certify.Half(failure="crashed: it exited with code 3")
        return certify.Half((("gradients", 1e-9, 1e-5),))

    monkeypatch.setattr(certify, "CACHE", tmp_path)
    monkeypatch.setattr(certify, "_half", half)
    return found


def obtain(cells: list[Cell], *, remembered: bool) -> list[bool]:
    found = certify.certify(cells, timeout_s=60, remembered=remembered)
    return [certificate.passed for _, certificate in found if certificate]


@pytest.mark.parametrize("remembered", [True, False])
def test_precisions_share_their_float64_half(
    remembered: bool, worked: Worked, make_cell: Callable[..., Cell]
) -> None:
    cells = [make_cell(precision=precision, batch_size=8) for precision in ("fp32", "bf16")]
    assert obtain([*cells, make_cell()], remembered=remembered) == [True, True]
    assert worked == [("sgd", "fp64"), ("sgd", "fp32"), ("sgd", "bf16")]


def test_what_is_known_is_worked_out_again_where_it_must_not_be_remembered(
    worked: Worked, make_cell: Callable[..., Cell]
) -> None:
    obtain([make_cell()], remembered=True)
    del worked[:]
    assert obtain([make_cell()], remembered=True) == [True]
    assert worked == []
    assert obtain([make_cell()], remembered=False) == [True]
    assert worked == [("sgd", "fp64"), ("sgd", "fp32")]


def test_a_half_that_failed_to_run_is_tried_again_alone(
    worked: Worked, make_cell: Callable[..., Cell]
) -> None:
    cell = make_cell(optimizer="adam", precision="bf16")
    assert obtain([cell], remembered=True) == obtain([cell], remembered=True) == [False]
    assert worked == [("adam", "fp64"), ("adam", "bf16"), ("adam", "bf16")]


def test_a_users_file_is_certified_again_where_a_neighbour_of_its_has_changed(
    worked: Worked, make_cell: Callable[..., Cell], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, neighbour = tmp_path / "mine.py", tmp_path / "layers.py"
    file.write_text("from layers import Implementation\n")
    neighbour.write_text("first = 1\n")
    cell = make_cell(implementation=str(file), backend="mine")
    assert obtain([cell], remembered=True) == obtain([cell], remembered=True) == [True]
    assert len(worked) == 2
    neighbour.write_text("second = 2\n")
    obtain([cell], remembered=True)
    assert len(worked) == 4
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    obtain([cell], remembered=True)
    assert len(worked) == 6


def test_what_an_implementation_imports_is_part_of_its_certificate(
    worked: Worked, make_cell: Callable[..., Cell], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "resnet_impls"
    shutil.copytree(Path(next(iter(resnet_impls.__path__))), folder)
    monkeypatch.setattr(resnet_impls, "__path__", [str(folder)])
    named = [("flax_nnx", "jax"), ("keras_subclass", "jax")]
    cells = [make_cell(implementation=name, backend=backend) for name, backend in named]
    obtain(cells, remembered=True)
    del worked[:]
    with (folder / "keras_loops.py").open("a") as file:
        file.write("# changed\n")
    obtain(cells[:1], remembered=True)
    assert worked == []
    obtain(cells, remembered=True)
    assert len(worked) == 2


def test_a_users_file_may_stand_beside_what_is_no_text(
    worked: Worked, make_cell: Callable[..., Cell], tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text("from resnet_impls.nowhere import Implementation\n")
    (tmp_path / "old.py").write_bytes(b"# -*- coding: latin-1 -*-\n# \xe4\n")
    cell = make_cell(implementation=str(tmp_path / "mine.py"), backend="mine")
    assert obtain([cell], remembered=True) == [True]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--impl", "torch_module", "--precision", "tf32", "--device", "cpu"), 1, "a CPU has none"),
        (("--impl", "torchvision_model", "flax_nnx"), 1, "has no model resnet14"),
        (("--impl", "all"), 0, "torchvision_model eager fp32 resnet14: unsupported"),
        (("--impl", "all", "torchvision_model"), 1, "resnet14: unsupported"),
    ],
)
def test_what_cannot_be_certified_is_said_and_fails_where_it_was_named(
    arguments: tuple[str, ...],
    code: int,
    said: str,
    worked: Worked,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["certify", *arguments]) == code
    assert said in capsys.readouterr().out
