"""The report says how precise a run was to be, and up to what a machine's noise makes ties."""

from typing import Any

from bench.records import Record
from builders import JAX, processes, report_md

TARGET = {"precision_target": 0.01, "max_replicates": 5}
QUIET = [1.0, 1.001, 0.999, 1.0, 1.001]


def section(heading: str, *records: Record, **changes: Any) -> str:
    text = report_md(*records, **changes)
    return text.split(f"## {heading}\n\n", 1)[1].split("\n## ", 1)[0]


def test_a_run_that_got_there_says_so() -> None:
    text = section("Precision", *processes(QUIET), options=TARGET)
    assert "within ±1.00%, to 5 per cell at most. All got there." in text


def test_the_report_says_how_far_intervals_are_to_be_believed() -> None:
    text = section("Precision", *processes(QUIET), options=TARGET)
    assert "from 5 processes on, as here, it holds the truth in 92 to 93 of 100" in text
    text = section("Precision", *processes(QUIET[:4]), options=TARGET | {"max_replicates": 4})
    assert "from 4 processes on, as here, it holds the truth in 89 to 90 of 100" in text


def test_a_cell_that_did_not_is_named_with_what_it_reached_and_why() -> None:
    loose = processes([2.0, 2.5, 1.5, 2.2, 2.1], **JAX)
    text = section("Precision", *processes(QUIET), *loose, options=TARGET)
    assert "Not all got there:" in text
    (line,) = [line for line in text.splitlines() if line.startswith("  - ")]
    assert "Keras functional on JAX" in line
    assert "±2" in line
    assert "after 5 good processes (at the cap of 5 processes)" in line


def test_a_run_without_a_target_has_no_such_section() -> None:
    text = report_md(*processes(QUIET))
    assert "## Precision" not in text


def test_the_noise_floor_in_use_is_stated_for_each_device() -> None:
    floors: dict[str, Any] = {"cpu": {"value": 0.0123}, "cuda": {"value": 0.001}}
    text = section("Noise floor", *processes(QUIET), noise_floor=floors)
    said = (
        "- desk, cpu: 1.23%: as much as a cell differs from itself on this machine; smaller "
        "differences are ties"
    )
    assert text.splitlines() == [said]
    floors["cpu"]["neighbours"] = [{"name": "<b>make", "pid": 7, "cores": 0.5}]
    text = section("Noise floor", *processes(QUIET), noise_floor=floors)
    others = r"since others used the machine then: \<b\>make (pid 7, 0.50 of a core)"
    assert text.splitlines() == [f"{said}; it may be too large, {others}"]


def test_where_no_noise_floor_was_measured_the_report_says_how_to() -> None:
    text = section("Noise floor", *processes(QUIET))
    assert text.startswith("- desk, cpu: none was measured")
    assert "`resnet-bench doctor --aa`" in text
