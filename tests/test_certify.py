"""Which halves of a certificate are worked out, and which are taken as they are known."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bench import certify
from bench.cells import Cell

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
