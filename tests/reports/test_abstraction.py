"""What a library above an engine costs: pairs of one engine and mode, by formula and in words."""

from dataclasses import replace
from typing import Any

import pytest

from bench.analysis.ranking import contests_of
from bench.records import Record
from bench.reports.sections import abstraction
from builders import processes, report_md, run

KERAS = {"implementation": "keras_functional", "framework": "Keras"}
FLAX = {"implementation": "flax_nnx", "framework": "Flax", "backend": "jax", "mode": "compiled"}


def told(*records: Record) -> list[tuple[str, str, float, str | None]]:
    (contest,) = contests_of(records)
    return [
        (above.cell.label, raw.cell.label, round(found.ratio.value, 3), found.verdict)
        for above, raw, found in abstraction.compared(contest)
    ]


def test_the_ratio_is_the_time_through_the_library_over_the_time_without() -> None:
    raw = processes([1.0, 1.01, 0.99])
    above = processes([1.5, 1.515, 1.485], **KERAS)
    assert told(*raw, *above) == [
        ("keras_functional[torch] eager", "torch_module eager", 1.5, "faster")
    ]


def test_engines_and_modes_are_not_mixed() -> None:
    raw = processes([1.0, 1.01, 0.99]) + processes([1.0, 1.01, 0.99], **FLAX)
    compiled = processes([1.5, 1.52, 1.48], **KERAS, mode="compiled")
    jax = processes([2.0, 2.02, 1.98], **FLAX | KERAS)
    assert [row[:2] for row in told(*raw, *compiled, *jax)] == [
        ("keras_functional[jax] compiled", "flax_nnx compiled")
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"weights_sha256": "c" * 64},
        {"implementation": "article_keras"},
        {"status": "uncertified"},
        {"cohort": None},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_is_not_the_same_work_is_not_compared(changes: dict[str, Any]) -> None:
    above = [replace(row, **changes) for row in processes([1.5, 1.52, 1.48], **KERAS)]
    assert told(*processes([1.0, 1.01, 0.99]), *above) == []


def test_several_libraries_are_told_dearest_first_and_chance_is_a_tie() -> None:
    raw = processes([1.0, 1.01, 0.99])
    thin = processes([1.1, 0.92, 1.01], implementation="torchvision_model", framework="torchvision")
    found = told(*raw, *thin, *processes([1.5, 1.52, 1.48], **KERAS))
    assert [(row[0], row[3]) for row in found] == [
        ("keras_functional[torch] eager", "faster"),
        ("torchvision_model eager", "tie"),
    ]


def test_a_difference_below_the_noise_floor_is_a_tie() -> None:
    rows = processes([1.0, 1.001, 0.999]) + processes([1.01, 1.0111, 1.0089], **KERAS)
    floors = [run(noise_floor={"cpu": {"value": 0.05}})]
    verdicts = [
        [found.verdict for *_, found in abstraction.compared(contest)]
        for runs in ([], floors)
        for contest in contests_of(rows, runs)
    ]
    assert verdicts == [["faster"], ["tie"]]


def test_the_report_states_it_where_a_run_has_both_and_only_there() -> None:
    raw, above = processes([1.0, 1.01, 0.99]), processes([1.5, 1.52, 1.48], **KERAS)
    text = report_md(*raw, *above)
    assert "## The price of abstraction" in text
    assert "| Keras functional on PyTorch | PyTorch eager | 1.50 [" in text
    assert "| costs time |" in text
    assert "price of abstraction" not in report_md(*raw)


def test_inputs_are_not_mixed() -> None:
    fed = {"workload": "train+input"}
    raw = processes([1.0, 1.01, 0.99], **fed, input="torch")
    above = processes([1.5, 1.52, 1.48], **KERAS, **fed, input="numpy")
    assert told(*raw, *above) == []
    assert len(told(*raw, *processes([1.5, 1.52, 1.48], **KERAS, **fed, input="torch"))) == 1
