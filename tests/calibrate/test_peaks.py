"""The machine's peaks, by real processes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench import cache as entries
from bench.calibrate import peaks
from bench.machine import cpus
from bench.machine.state import AroundBlock
from bench.parent.child import Failure
from bench.parent.outcome import BlockSeen, Outcome
from bench.records.reading import read
from bench.records.run import Peak
from bench.run.record import record as make_record
from bench.validation import plain
from bench.worker import peak_probe
from bench.worker.peak_probe import fastest
from bench.worker.protocol import BlockTimed, Built
from builders import JAX, record, run


def test_a_record_is_held_against_the_peak_of_its_device_and_precision() -> None:
    built = Built(
        import_s=1.0,
        build_s=1.0,
        host_baseline_mib=100.0,
        gflop_per_image=0.25,
        weights_sha256="a",
        data_sha256="b",
        drawn_seed=0,
        versions={},
    )
    timed = BlockTimed(block_s=1.0, cpu_s=1.0, host_mib=100.0)
    block = BlockSeen(10, timed, AroundBlock(1.0, None, None, None))
    outcome = Outcome("ok", built=built, blocks=(block,))
    known = run(peaks={"cpu": {"all/fp32": Peak(gflop_per_s=200, library="x", copy_gb_per_s=20)}})
    for precision, expected in (("fp32", 640 * 0.25 / 200), ("bf16", None)):
        cell = record(precision=precision).cell
        assert make_record((cell, 0), outcome, None, known).peak_fraction == expected
        assert make_record((cell, 0), outcome, None, run()).peak_fraction is None


def test_the_best_repetition_of_any_size_counts_and_sizes_that_do_not_fit_end_it() -> None:
    prepared = []

    def prepare(size: int) -> Callable[[int], None]:
        prepared.append(size)
        if size > 2:
            raise RuntimeError("out of memory")
        return lambda calls: None

    rate, size = fastest(prepare, (1, 2, 3, 4), lambda size: size)
    assert rate > 0
    assert size in (1, 2)
    assert prepared == [1, 2, 3]
    with pytest.raises(RuntimeError, match="out of memory"):
        fastest(prepare, (3,), lambda size: size)


@pytest.mark.parametrize(("library", "precision"), [("torch", "bf16"), ("jax", "fp32")])
def test_each_library_multiplies_and_copies(library: str, precision: str) -> None:
    program = f"""
import os
from bench.worker import peak_probe, protocol
from dataclasses import replace
from bench.machine.devices import DEVICES
DEVICES["cpu"] = replace(DEVICES["cpu"], peak_rows=(64,))
peak_probe.COPY_BYTES = 2**16
peak_probe.SIZE_S = 0.01
peak_probe.installed = lambda name: name == "{library}"
(*_, ours) = peak_probe.libraries("cpu", "{precision}")
assert ours.name.startswith("{library} "), ours
print(protocol.encode(peak_probe.best("cpu", "{precision}")).decode())
"""
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    found = json.loads(finished.stdout)
    assert found["gflop_per_s"] > 0
    assert found["copy_gb_per_s"] > 0
    assert found["library"].startswith((library, "numpy"))


def test_where_nothing_multiplies_there_is_no_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak_probe, "installed", lambda name: None)
    with pytest.raises(NotImplementedError, match="PyTorch"):
        peak_probe.best("cpu", "bf16")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_real_process_measures_and_its_answer_is_remembered(cache: Path) -> None:
    cells = [record().cell, record(batch_size=1, **JAX).cell, record(precision="tf32").cell]
    cells.append(record(workload="train+input", input="numpy").cell)
    cells.append(record(workload="train-to", target_accuracy=0.9, evaluate_every=10).cell)
    told: list[str] = []
    found = peaks.probe(cells, 120, told.append)
    assert told == ["measuring the peak of the cpu in fp32"]
    assert set(found) == {"cpu"}
    assert set(found["cpu"]) == {"all/fp32"}
    assert peaks.probe(cells, 120, told.append) == found
    assert len(told) == 1

    [file] = cache.rglob("*.json")
    best = replace(found["cpu"]["all/fp32"], gflop_per_s=1e9, library="wonder")
    name = f"peaks/{file.name}"
    os.utime(entries.keep(name, json.dumps(plain(best))), (0, 0))  # not of late
    again = peaks.probe(cells, 120, told.append)["cpu"]["all/fp32"]
    assert (len(told), again.gflop_per_s, again.library) == (2, 1e9, "wonder")
    assert again.copy_gb_per_s >= best.copy_gb_per_s


def test_a_peak_that_cannot_be_measured_is_told_and_absent(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Any, request: Any, timeout_s: float) -> None:
        raise Failure("crashed", "no such kernel")

    monkeypatch.setattr("bench.parent.child.Child.ask", fail)
    told: list[str] = []
    assert peaks.probe([record().cell], 60, told.append) == {}
    assert told[1:] == ["no peak of the cpu in fp32: no such kernel"]
    assert not cache.exists()


def test_a_run_keeps_its_peaks_and_measures_against_them(
    fake: Path, resnet_bench: Callable[..., Any], tmp_path: Path
) -> None:
    finished = resnet_bench(
        *("run", "--impl", fake, "--optimizer", "sgd", "--no-certify", "--profile", "smoke"),
        *("--workload", "train", "--out", "run"),
    )
    assert finished.returncode == 0, finished.stderr
    kept = json.loads((tmp_path / "run" / "run.json").read_text())["peaks"]["cpu"]
    kept = kept[f"{len(cpus.allowed())}/fp32"]
    (row,) = read(tmp_path / "run")
    assert row.achieved_gflop_per_s is not None
    assert row.peak_fraction == pytest.approx(row.achieved_gflop_per_s / kept["gflop_per_s"])


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"gflop_per_s": 1}', '{"gflop_per_s": 0, "copy_gb_per_s": 1}']
)
def test_an_entry_of_the_cache_that_cannot_be_read_is_measured_anew(
    text: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peak = Peak(gflop_per_s=200.0, library="x", copy_gb_per_s=20.0)
    monkeypatch.setattr(peaks, "_measured", lambda environment, timeout_s: peak)
    expected = {"cpu": {"all/fp32": peak}}
    assert peaks.probe([record().cell], 60) == expected
    [file] = cache.rglob("*.json")
    entries.keep(f"peaks/{file.name}", text)
    assert peaks.probe([record().cell], 60) == expected
    assert entries.read_as(f"peaks/{file.name}", Peak) == peak
