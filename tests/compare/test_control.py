"""`compare --control`: what the machine did between two runs cancels."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bench.records import Record
from builders import (
    JAX,
    SPEEDS,
    processes,
    table_cells,
)

Write = Callable[..., Path]
Compare = Callable[..., tuple[int, str]]


def drifting(run_id: str, drift: float, slowdown: float) -> list[Record]:
    """A run on a machine that is slower by a part, twice that in every other process: torch_module,
    and Keras on JAX beside it that is slower by `slowdown` than in other runs.
    """
    steady = (1.0, 1.001, 0.999, 1.0005, 0.9995)
    machine = [1 + drift * (1 + index % 2) for index in range(len(steady))]
    return [
        *processes([m * s for m, s in zip(machine, steady, strict=True)], run_id=run_id),
        *processes([m * (1 + slowdown) for m in machine], **{"run_id": run_id} | JAX),
    ]


def test_a_control_cancels_what_the_machine_did(write: Write, compare: Compare) -> None:
    base = write("base", *drifting("first", 0.0, 0.0))
    new = write("new", *drifting("second", 0.1, 0.0))
    changed = write("changed", *drifting("third", 0.1, 0.05))
    gate = ("--fail-if", "slower=3%")
    assert compare(base, new, *gate)[0] == 1  # the machine alone
    code, text = compare(base, new, "--control", "torch_module", *gate)
    assert code == 0
    assert "Speed of 1 cell: 1 tied." in text
    code, text = compare(base, changed, "--control", "torch_module eager", *gate)
    assert code == 1
    assert "1 slower" in text
    assert "keras_functional[jax] compiled, train resnet14" in text
    assert "4.8 % slower, beyond slower=3%" in text
    assert table_cells(text)[1] == "640 → 535"  # as they were measured
    assert "### The control\n\n- torch_module eager, train resnet14" in text
    assert "held against the control" in text


def test_what_has_no_control_beside_it_is_left_out(write: Write, compare: Compare) -> None:
    rows = [drifting(name, 0.0, 0.0) for name in ("first", "second")]
    alone = [processes(SPEEDS, run_id=name, batch_size=8, **JAX) for name in ("first", "second")]
    base, new = (write(name, *a, *b) for name, a, b in zip(("b", "n"), rows, alone, strict=True))
    code, text = compare(base, new, "--control", "torch_module")
    assert code == 0
    assert "Speed of 1 cell: 1 tied; 1 left out." in text
    assert "torch_module, the control, did not run beside it" in text
    only = [write(f"only {name}", *processes(SPEEDS, run_id=name)) for name in ("1st", "2nd")]
    code, line = compare(*only, "--control", "torch_module")
    assert code == 2
    assert "have nothing else in common" in line
    code, line = compare(base, new, "--control", "torch_modul")
    assert code == 2
    assert "--control torch_modul: unknown cell of both sides" in line
    assert "did you mean 'torch_module eager'?" in line


def test_what_breaks_fails_the_gate_beside_a_control_too(write: Write, compare: Compare) -> None:
    aim = {"workload": "train-to", "target_accuracy": 0.9, "reached_train_s": 10.0}
    base, new = (
        [*drifting(name, 0.0, 0.0), *processes(SPEEDS, run_id=name, **aim)]
        for name in ("first", "second")
    )
    gate = ("--control", "torch_module", "--fail-if", "slower=90%")
    before = write("base", *base)
    assert compare(before, write("sound", *new), *gate)[0] == 0
    for which in range(0, len(new), len(SPEEDS)):  # the control, what is beside it, and to a target
        rows = list(new)
        rows[which] = replace(rows[which], status="crashed", reason="no luck")
        code, text = compare(before, write(f"broken {which}", *rows), *gate)
        assert code == 1, which
        assert "crashed (no luck)" in text.split("**Fails**")[1]


def test_a_control_must_be_one_cell_of_a_contest(write: Write, compare: Compare) -> None:
    sides = [
        write(name, *drifting(name, 0.0, 0.0), *processes(SPEEDS, run_id=name, mode="compiled"))
        for name in ("first", "second")
    ]
    code, line = compare(*sides, "--control", "torch_module")
    assert code == 2
    assert (
        "may be 'torch_module eager' or 'torch_module compiled'; name one of them in full" in line
    )
    assert compare(*sides, "--control", "torch_module compiled")[0] == 0
