"""What is seen around the blocks of real workers, and what a GPU's driver may leave untold."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess, Popen
from time import sleep
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from bench.cells import Cell
from bench.machine import gpu
from bench.machine.gpu import Gpu, held_down
from bench.machine.state import LOOK_S, Watch, throttles
from bench.parent.child import Child
from bench.parent.outcome import Outcome
from bench.parent.schedule import Schedule
from bench.records import Record
from bench.records.reading import read
from bench.worker.protocol import Block, Build, WarmUp

MakeCell = Callable[..., Cell]
MakeFaulty = Callable[[str, str], Path]
Measure = Callable[..., list[Outcome]]
Run = Callable[..., CompletedProcess[str]]

# Blocks long enough for the kernel's 10 ms steps, though not a step of them computes
SLOW = """
def train(self, steps):
    time.sleep(0.1)
    return super().train(steps)
"""


@pytest.fixture
def measure(digits: Path, tmp_path: Path) -> Measure:
    def measure(*cells: Cell) -> list[Outcome]:
        schedule = Schedule(dict.fromkeys(cells, digits), tmp_path, 60, 0)
        return [outcome for _, outcome in schedule.run([(cell, 0) for cell in cells])]

    return measure


def test_every_block_is_watched(make_cell: MakeCell, measure: Measure) -> None:
    (outcome,) = measure(make_cell())
    for block in outcome.blocks:
        assert block.around.own_cores is not None
        assert block.around.own_cores > 0
        assert block.around.other_cores is not None
        assert block.timed.host_mib > 1
        assert block.timed.device_mib is None
    assert outcome.machine_state.load_1min is not None


def test_what_another_process_took_is_seen(
    make_cell: MakeCell, faulty: MakeFaulty, measure: Measure
) -> None:
    with Popen([sys.executable, "-c", "while True: pass"]) as spinning:
        (outcome,) = measure(make_cell(faulty("slow", SLOW)))
        spinning.kill()
    assert max(block.around.other_cores or 0 for block in outcome.blocks) > 0.1


def test_a_suspended_workers_child_that_computes_on_is_seen_in_anothers_blocks(
    make_cell: MakeCell, faulty: MakeFaulty, measure: Measure
) -> None:
    escapes = """
    def place(self, images, labels):
        program = f"import os\\nwhile os.getppid() == {os.getpid()}: pass"
        subprocess.Popen([sys.executable, "-c", program], start_new_session=True)
        super().place(images, labels)
    """
    outcomes = measure(make_cell(faulty("slow", SLOW)), make_cell(faulty("escapes", escapes)))
    longest = max(outcomes, key=lambda outcome: min(b.timed.block_s for b in outcome.blocks))
    assert max(block.around.other_cores or 0 for block in longest.blocks) > 0.1


def test_a_worker_accounts_for_all_processor_time_of_its_block(
    start_child: Callable[..., tuple[Child, Build]], faulty: MakeFaulty
) -> None:
    burns = """
    def train(self, steps):
        burn = "import time\\nwhile time.process_time() < 0.1: pass"
        subprocess.run([sys.executable, "-c", burn], check=True)
        end = time.process_time() + 0.1
        while time.process_time() < end:
            pass
        return super().train(steps)
    """
    child, build = start_child(faulty("burns", burns))
    child.ask(build, 60)
    child.ask(WarmUp(steps=2), 60)
    assert child.ask(Block(steps=7), 60).cpu_s > 0.199


def test_a_leak_is_found_reported_and_told(
    faulty: MakeFaulty, resnet_bench: Run, tmp_path: Path
) -> None:
    leaks = """
    def train(self, steps):
        kept = [np.ones(2**17) for _ in range(steps)]
        self.kept = [*getattr(self, "kept", []), kept]
        return super().train(steps)
    """
    finished = resnet_bench(
        *("run", "--impl", faulty("leaks", leaks), "--no-certify", "--workload", "train"),
        *("--optimizer", "sgd", "--steps", 40, "--replicates", 1, "--out", tmp_path / "run"),
    )
    [row] = read(tmp_path / "run")
    assert row.host_leak_kib_per_step == pytest.approx(1024, rel=0.2)
    report = (tmp_path / "run" / "report.md").read_text()
    assert "**Kept memory with every step**: leaks.py eager (1 of 1 process; host 1,0" in report
    assert "1 of 1 leaking" in finished.stdout


def test_what_the_system_does_not_tell_is_unknown(
    make_cell: MakeCell, measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    zeros = SimpleNamespace(user=0.0, system=0.0, idle=0.0)
    monkeypatch.setattr("psutil.cpu_times", lambda percpu: [zeros])
    monkeypatch.setattr("psutil.cpu_freq", lambda: None)
    monkeypatch.delattr("psutil.sensors_temperatures")
    (outcome,) = measure(make_cell())
    assert {(b.around.other_cores, b.around.stolen_cores) for b in outcome.blocks} == {(None, None)}
    assert outcome.machine_state.cpu_mhz is outcome.machine_state.temperature_c is None


def test_the_counts_of_all_cores_and_packages_are_added_up(tmp_path: Path) -> None:
    assert throttles(tmp_path) is None
    for cpu in ("cpu0", "cpu1"):
        folder = tmp_path / cpu / "thermal_throttle"
        folder.mkdir(parents=True)
        (folder / "core_throttle_count").write_text("3\n")
        (folder / "package_throttle_count").write_text("4\n")
        (folder / "core_throttle_total_time_ms").write_text("99\n")
    assert throttles(tmp_path) == 14
    (folder / "core_throttle_count").write_text("?\n")
    assert throttles(tmp_path) is None


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Answers by NVML's names, in the place of a driver; an exception among them is raised."""
    import pynvml

    answers: dict[str, Any] = {
        "nvmlDeviceGetTotalEnergyConsumption": 5_000,
        "nvmlDeviceGetCurrentClocksEventReasons": pynvml.nvmlClocksEventReasonSwPowerCap,
        "nvmlDeviceGetTemperature": 70,
        "nvmlDeviceGetClockInfo": 1980,
        "nvmlDeviceGetComputeRunningProcesses": [],
        "nvmlDeviceGetViolationStatus": SimpleNamespace(violationTime=0),
    }

    def answer(name: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            if isinstance(answers[name], Exception):
                raise answers[name]
            return answers[name]

        return call

    for name in answers:
        monkeypatch.setattr(pynvml, name, answer(name))
    monkeypatch.setattr("bench.machine.gpu.visible", lambda: (Gpu("handle"),))
    return answers


def test_a_gpu_is_seen_after_each_block_and_summed_up(nvml: dict[str, Any]) -> None:
    import pynvml

    def process(pid: int, mib: int) -> SimpleNamespace:
        return SimpleNamespace(pid=pid, usedGpuMemory=mib * 2**20)

    watch = Watch("cuda", os.getpgid(0))
    with Popen([sys.executable, "-c", "import time; time.sleep(60)"], process_group=0) as other:
        for mib, reasons in ((100, 0), (300, pynvml.nvmlClocksEventReasonHwThermalSlowdown)):
            nvml["nvmlDeviceGetComputeRunningProcesses"] = [
                *(process(os.getpid(), mib), process(other.pid, 5_000)),
                process(psutil.pids()[-1] + 10**7, 5_000),  # one of another container
            ]
            nvml["nvmlDeviceGetCurrentClocksEventReasons"] = reasons
            watch.begin()
            nvml["nvmlDeviceGetTotalEnergyConsumption"] += 2_500
            assert watch.end(0.0).energy_j == 2.5
        other.kill()
    summary = watch.summary()
    assert summary.power_capped_s == 0
    assert summary.device_process_mib == 300
    assert (summary.temperature_c, summary.gpu_mhz, summary.throttled) == (70, 1980, True)


def test_clocks_are_those_of_the_block_and_limits_are_counted_over_it(nvml: dict[str, Any]) -> None:
    import pynvml

    held = {pynvml.NVML_PERF_POLICY_POWER: 7e9, pynvml.NVML_PERF_POLICY_THERMAL: 3e9}

    def violation(handle: object, policy: int) -> SimpleNamespace:
        return SimpleNamespace(violationTime=held[policy])

    pynvml.nvmlDeviceGetViolationStatus = violation  # which the fixture puts back
    watch = Watch("cuda", os.getpgid(0))
    watch.begin()
    nvml["nvmlDeviceGetClockInfo"] = 1200  # under load
    sleep(3.5 * LOOK_S)
    held[pynvml.NVML_PERF_POLICY_POWER] += 0.25e9
    nvml["nvmlDeviceGetClockInfo"] = 1980  # idle again
    watch.end(0.0)
    summary = watch.summary()
    assert (summary.gpu_mhz, summary.power_capped_s, summary.throttled) == (1200, 0.25, False)
    watch.begin()
    held[pynvml.NVML_PERF_POLICY_THERMAL] += 1
    watch.end(0.0)
    assert watch.summary().throttled is True


def test_what_a_driver_does_not_tell_is_unknown(nvml: dict[str, Any]) -> None:
    import pynvml

    for name in nvml:
        nvml[name] = pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    nvml["nvmlDeviceGetComputeRunningProcesses"] = pynvml.NVMLLibraryMismatchError()
    watch = Watch("cuda", os.getpgid(0))
    watch.begin()
    assert watch.end(0.0).energy_j is None
    summary = watch.summary()
    assert summary.device_process_mib is summary.throttled is summary.temperature_c is None


@pytest.mark.parametrize(
    ("named", "seen"),
    [
        (None, ["0", "1", "2"]),
        ("2,0", ["2", "0"]),
        ("2, 7, 0", ["2"]),
        ("", []),
        ("-1", []),
    ],
)
def test_gpus_are_those_that_a_worker_may_see_in_its_order(
    named: str | None, seen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import pynvml

    def handle(known: tuple[object, ...]) -> Callable[[object], object]:
        def call(name: object) -> object:
            if name not in known:
                raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
            return str(name)

        return call

    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 3)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", handle((0, 1, 2)))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMigMode", handle(()))
    if named is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert [each.handle for each in gpu.visible.__wrapped__()] == seen


def test_the_limit_of_power_is_not_called_throttling() -> None:
    import pynvml

    assert not held_down(pynvml.nvmlClocksEventReasonSwPowerCap)
    assert held_down(pynvml.nvmlClocksEventReasonSwThermalSlowdown)


def test_an_older_record_was_not_watched() -> None:
    for row in read(Path(__file__).parents[1] / "fixtures" / "records-v1-early.jsonl"):
        assert isinstance(row, Record)
        assert row.busy is row.host_leak_kib_per_step is None
        assert row.block_other_cores == ()
