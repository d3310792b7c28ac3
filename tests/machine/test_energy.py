"""Energy counters as Linux shows them, in a folder of made files."""

from pathlib import Path

import pytest

from bench.analysis.energy import j_per_image
from bench.machine.energy import chip_meter, cpu_meter
from builders import timed


def zone(root: Path, number: str, name: str, energy_uj: int, range_uj: int = 1_000_000) -> Path:
    folder = root / f"intel-rapl:{number}"
    folder.mkdir()
    for file, value in (
        ("name", name),
        ("energy_uj", energy_uj),
        ("max_energy_range_uj", range_uj),
    ):
        (folder / file).write_text(f"{value}\n")
    return folder / "energy_uj"


def test_all_packages_are_added_up_and_nothing_else(tmp_path: Path) -> None:
    first = zone(tmp_path, "0", "package-0", 100)
    second = zone(tmp_path, "1", "package-1", 200)
    core = zone(tmp_path, "0:0", "core", 300)
    psys = zone(tmp_path, "2", "psys", 400)
    meter = cpu_meter(tmp_path)
    before = meter.read()
    for file, energy_uj in ((first, 500_100), (second, 250_200), (core, 9), (psys, 9)):
        file.write_text(f"{energy_uj}\n")
    assert meter.joules(before, meter.read()) == pytest.approx(0.75)


def test_a_counter_may_begin_anew(tmp_path: Path) -> None:
    file = zone(tmp_path, "0", "package-0", 900_000)
    meter = cpu_meter(tmp_path)
    before = meter.read()
    file.write_text("150000\n")
    assert meter.joules(before, meter.read()) == pytest.approx(0.25)


def test_energy_that_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    file = zone(tmp_path, "0", "package-0", 900_000)
    meter = cpu_meter(tmp_path)
    before = meter.read()
    file.unlink()
    assert meter.joules(before, meter.read()) is None
    assert meter.joules(meter.read(), before) is None
    (file.parent / "max_energy_range_uj").unlink()
    for nothing in (cpu_meter(tmp_path), cpu_meter(tmp_path / "absent"), chip_meter(None)):
        assert nothing.joules(nothing.read(), nothing.read()) is None


def test_energy_per_image_is_that_of_all_blocks() -> None:
    assert j_per_image(timed([0.1, 0.1], batch_size=64, block_j=(4.0, 2.4))) == 6.4 / 1280
    assert j_per_image(timed([0.1, 0.1])) is None
    assert j_per_image(timed([0.1, 0.1], block_j=(0.0, 13.4))) is None  # too coarse a counter


def test_energy_of_a_gpus_short_blocks_is_unknown() -> None:
    counted = {"device": "cuda", "batch_size": 64, "block_j": (4.0, 2.4)}
    assert j_per_image(timed([1.0, 0.6], **counted)) == 6.4 / 1280
    assert j_per_image(timed([1.0, 0.4], **counted)) is None
