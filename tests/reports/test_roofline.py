"""What is derived from the peaks of a machine."""

from dataclasses import replace

import pytest

from bench.analysis.roofline import image_bytes, roofline
from bench.records.run import Peak
from builders import JAX, record, report_md, run, timed
from resnet_impls.architecture import ARCHITECTURES

PEAK = Peak(gflop_per_s=200.0, library="torch 2", copy_gb_per_s=20.0)
PEAKS = {"cpu": {"all/fp32": PEAK}}


def test_bytes_are_counted_by_the_stated_model() -> None:
    architecture = ARCHITECTURES["resnet14"]
    outputs = 16 * 32 * 32 * 5 + 32 * 16 * 16 * 5 + 64 * 8 * 8 * 5 + 10
    images, weights = 32 * 32 * 3, architecture.parameter_count
    expected = 4 * (2 * outputs + images + weights / 64)
    assert image_bytes(architecture, "infer", "fp32", 64) == expected
    assert image_bytes(architecture, "train", "fp32", 64) == 3 * expected
    assert image_bytes(architecture, "infer", "bf16", 64) == expected / 2


def test_the_ridge_parts_what_arithmetic_bounds_from_what_memory_bounds() -> None:
    cell = record(workload="infer").cell
    limits = roofline(cell, PEAK)
    assert limits is not None
    assert limits.ridge_flop_per_byte == 10
    assert limits.bound == "compute"
    flops = ARCHITECTURES["resnet14"].forward_flops
    assert limits.ceiling_images_per_s == pytest.approx(200e9 / flops)
    slow = roofline(cell, replace(PEAK, copy_gb_per_s=0.2))
    assert slow is not None
    assert slow.bound == "bandwidth"
    assert slow.ceiling_images_per_s * limits.intensity_flop_per_byte > 0
    assert slow.ceiling_images_per_s == pytest.approx(
        0.2e9 / image_bytes(ARCHITECTURES["resnet14"], "infer", "fp32", 64)
    )
    assert roofline(record(model="resnet15").cell, PEAK) is None


def test_a_cell_is_held_against_the_peak_of_its_device_and_precision() -> None:
    known = run(peaks=PEAKS)
    assert known.peak_of(record().cell) == PEAK
    assert known.peak_of(record(precision="bf16").cell) is None
    assert run().peak_of(record().cell) is None


def test_reports_state_the_peaks_of_each_machine_and_what_was_reached() -> None:
    other = {"cpu": {"all/fp32": replace(PEAK, gflop_per_s=3000.0)}}
    far = replace(run().machine, machine="far")
    runs = [run(peaks=PEAKS), run(run_id="second", machine=far, peaks=other)]
    rows = [timed([1.0], peak_fraction=1.07), timed([1.0], **JAX)]
    text = report_md(*rows, timed([1.0], run_id="second", machine="far"), runs=runs)
    assert "| of peak |" in text
    assert "| 1.07 |" in text
    section = text.split("## Roofline")[1]
    assert "- desk, cpu, threads all, fp32: 200 GFLOP/s (torch 2), copy 20.0 GB/s" in section
    assert "- far, cpu, threads all, fp32: 3,000 GFLOP/s (torch 2), copy 20.0 GB/s" in section
    assert section.count("| 10.0 | compute |") == 1
    assert section.count("| 150.0 | bandwidth |") == 1


def test_a_run_without_peaks_has_no_roofline() -> None:
    text = report_md(timed([1.0]))
    assert "Roofline" not in text
    assert "| of peak |" not in text
