"""The table of devices; what no GPU is here to tell, a driver's answers stand in for."""

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from bench.cells import Cell
from bench.errors import UsageError
from bench.executables import exact_precision
from bench.machine import amd, devices, gpu
from bench.machine.chip import Chip, HeldDown
from bench.machine.devices import DEVICES
from bench.machine.gpu import Gpu
from bench.obstacles import obstacle
from bench.parent.measurement import MIN_BLOCKS
from bench.parent.schedule import _blocks
from bench.request.matrix import cells_of
from bench.request.profiles import PROFILES, fill
from bench.request.request import Request
from bench.worker import device_context
from bench.worker.environment import Environment
from resnet_impls import devices as kinds


def cells(**wanted: Any) -> list[Cell]:
    request = Request(impl=("torch_module",), **{"workload": ("train",), **wanted})
    return cells_of(fill(request, PROFILES["quick"], device="cpu", threads=1))


def test_each_kind_has_a_row_in_both_tables_and_a_way_to_wait_for_it() -> None:
    assert list(DEVICES) == list(kinds.DEVICES)
    assert set(device_context.CONTEXTS) == set(devices.ACCELERATORS)


def test_what_a_device_lacks_is_unsupported_there_with_its_reason() -> None:
    [cell] = cells(device=("mps",), mode=("cuda-graph",))
    assert obstacle(cell) == ("unsupported", "cuda-graph replays CUDA graphs; Apple's GPU has none")
    [cell] = cells(device=("rocm",), precision=("tf32",))
    assert obstacle(cell) == (
        "unsupported",
        "tf32 is a format of NVIDIA GPUs; an AMD GPU has none",
    )
    assert {c.mode for c in cells(device=("mps",), all_modes=True)} == {"eager", "compiled"}


def test_a_device_without_float64_proves_the_semantics_in_float32() -> None:
    [on_apple], [on_intel] = cells(device=("mps",)), cells(device=("xpu",))
    assert exact_precision(on_apple.executable) == "fp32"
    assert exact_precision(on_intel.executable) == "fp64"


@pytest.mark.parametrize(
    ("device", "given", "seen"),
    [
        ("cpu", {}, {"CUDA_VISIBLE_DEVICES": ""}),
        ("cuda", {"CUDA_VISIBLE_DEVICES": "2, 3"}, {"CUDA_VISIBLE_DEVICES": "2"}),
        ("cuda", {}, {"CUDA_VISIBLE_DEVICES": "0"}),
        ("rocm", {"HIP_VISIBLE_DEVICES": "1"}, {"HIP_VISIBLE_DEVICES": "1"}),
        ("mps", {}, {}),
    ],
)
def test_a_worker_sees_the_one_chip_that_it_is_to_use(
    device: str, given: dict[str, str], seen: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    told = Environment(device, "bf16").variables()
    assert {name: told[name] for name in told if name.endswith("VISIBLE_DEVICES")} == seen


def test_a_device_that_is_not_here_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "visible", lambda: ())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with pytest.raises(UsageError, match=r"^--device cuda: this machine shows no NVIDIA GPU; use"):
        devices.check(("cpu", "cuda"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-zz")
    with pytest.raises(UsageError, match="CUDA_VISIBLE_DEVICES=GPU-zz leaves no NVIDIA GPU"):
        devices.check(("cuda",))


def test_a_kind_that_the_project_has_not_run_is_never_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gpu, "visible", lambda: ())
    monkeypatch.setattr(amd, "visible", lambda: (Chip("Example Instinct"),))
    assert "rocm" in devices.found()
    assert devices.default() == "cpu"
    monkeypatch.setattr(gpu, "visible", lambda: (Chip("Example GPU"),))
    assert devices.default() == "cuda"


class Worker:
    """A measurement as far as block lengths go: its task, and the time that a step takes."""

    def __init__(self, workload: str, device: str, step_s: float) -> None:
        [cell] = cells(device=(device,), workload=(workload,), steps=(1000))
        self.task, self.step_s = (cell, 0), step_s


def test_inference_on_a_gpu_fills_its_blocks_whatever_its_step_takes() -> None:
    """By simulated step times, as no GPU is here."""
    fast, slow = Worker("infer", "cuda", 1.5e-4), Worker("infer", "cuda", 0.02)
    rounds = _blocks([fast, slow])  # type: ignore[list-item]
    assert len(rounds) == MIN_BLOCKS
    assert all(steps[fast] * fast.step_s == pytest.approx(1.0, rel=0.01) for steps in rounds)  # type: ignore
    assert all(steps[slow] * slow.step_s == pytest.approx(1.0, rel=0.01) for steps in rounds)  # type: ignore


def test_training_keeps_its_steps_and_all_share_them() -> None:
    for workload, device in (("train", "cuda"), ("infer", "cpu")):
        pair = [Worker(workload, device, 1.5e-4), Worker(workload, device, 0.02)]
        rounds = _blocks(pair)  # type: ignore[arg-type]
        assert sum(steps[pair[0]] for steps in rounds) == 1000 - 1 - 100  # type: ignore
        assert all(len(set(steps.values())) == 1 for steps in rounds)


# Two GPUs, the second divided by MIG into two instances
UUIDS = {"a": "GPU-aa11", "b": "GPU-bb22", "b0": "MIG-c0", "b1": "MIG-c1"}


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    import pynvml

    def known(table: dict[Any, Any]) -> Callable[..., Any]:
        def call(*key: Any) -> Any:
            try:
                return table[key if len(key) > 1 else key[0]]
            except KeyError:
                raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND) from None

        return call

    answers: dict[str, Callable[..., Any]] = {
        "nvmlInit": lambda: None,
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": known({0: "a", 1: "b"}),
        "nvmlDeviceGetUUID": known(UUIDS),
        "nvmlDeviceGetMigMode": known({"a": [0, 0], "b": [1, 1]}),
        "nvmlDeviceGetMaxMigDeviceCount": known({"a": 0, "b": 7}),
        "nvmlDeviceGetMigDeviceHandleByIndex": known({("b", 0): "b0", ("b", 1): "b1"}),
        "nvmlDeviceGetTotalEnergyConsumption": known({"a": 5, "b": 6}),
        "nvmlDeviceGetClockInfo": lambda handle, kind: {"a": 100, "b": 200}[handle],
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, answer)


@pytest.mark.parametrize(
    ("named", "seen"),
    [
        (None, ["a", "b0"]),
        ("1", ["b0"]),
        ("GPU-aa", ["a"]),
        ("GPU-bb22", ["b0"]),
        ("MIG-c1,MIG-c0", ["b1", "b0"]),
        ("MIG-c", []),  # which of the two?
        ("GPU-", []),
        ("0,GPU-zz,1", ["a"]),
    ],
)
def test_a_gpu_is_found_by_the_beginning_of_its_name_and_its_instances_are_told_apart(
    two: None, named: str | None, seen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if named is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert [each.handle for each in gpu.visible.__wrapped__()] == seen


def test_of_an_instance_the_clock_is_known_but_not_its_part_of_the_energy(two: None) -> None:
    assert (Gpu("a").energy_mj(), Gpu("a").clock_mhz()) == (5, 100)
    assert (Gpu("b1", "b").energy_mj(), Gpu("b1", "b").clock_mhz()) == (None, 200)


def test_amds_driver_is_asked_by_its_own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module with `amdsmi`'s names stands in for it: no such GPU is here."""
    fake = SimpleNamespace(
        AmdSmiException=type("AmdSmiException", (Exception,), {}),
        AmdSmiInitFlags=SimpleNamespace(INIT_AMD_GPUS=2),
        AmdSmiClkType=SimpleNamespace(GFX="gfx"),
        AmdSmiTemperatureType=SimpleNamespace(HOTSPOT=1),
        AmdSmiTemperatureMetric=SimpleNamespace(CURRENT=0),
        amdsmi_init=lambda flags: None,
        amdsmi_get_processor_handles=lambda: ["x", "y"],
        amdsmi_get_gpu_asic_info=lambda handle: {"market_name": f"Instinct {handle}"},
        amdsmi_get_gpu_vram_usage=lambda handle: {"vram_total": 65536, "vram_used": 1024},
        amdsmi_get_gpu_driver_info=lambda handle: {"driver_version": "6.12"},
        amdsmi_get_energy_count=lambda handle: {
            "energy_accumulator": 200,
            "counter_resolution": 15.3,
        },
        amdsmi_get_clock_info=lambda handle, kind: {"clk": 2100 if handle == "y" else "N/A"},
        amdsmi_get_temp_metric=lambda *which: 55,
    )
    monkeypatch.setitem(sys.modules, "amdsmi", fake)
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "1")
    [chip] = amd.visible.__wrapped__()
    assert chip.facts().name == "Instinct y"
    assert (chip.facts().memory_gib, chip.facts().driver) == (64.0, "6.12")
    assert (chip.free_mib(), chip.energy_mj()) == (64512.0, pytest.approx(3.06))
    assert (chip.now(1).gpu_mhz, chip.now(1).temperature_c) == (2100, 55)
    assert amd.AmdGpu("x").clock_mhz() is None
    assert chip.held_down() == HeldDown()
