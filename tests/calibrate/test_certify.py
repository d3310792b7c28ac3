"""Which halves of a certificate are worked out, and which are taken as they are known."""

import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

import bench
import resnet_impls
from bench import cache
from bench.calibrate import certify, dependencies
from bench.cells import Cell
from bench.cli.main import main
from bench.executables import Executable
from bench.identity.certificate import Half
from bench.parent.child import Failure
from bench.worker.protocol import Certified

MakeCell = Callable[..., Cell]
Worked = list[tuple[str, str]]  # optimizer and precision of each half that was worked out


@pytest.fixture
def worked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Worked:
    """An empty cache, and halves that pass without a process of their own."""
    found: Worked = []

    def answers(
        asked: Iterable[Executable], timeout_s: float
    ) -> Iterator[tuple[Executable, Certified | Failure]]:
        for part in asked:
            found.append((str(part.optimizer), part.precision))
            if part.optimizer == "adam" and part.precision == "bf16":
                yield part, Failure("crashed", "it exited with code 3")
            else:
                yield part, Certified(checks=(("gradients", 1e-9, 1e-5),))

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(certify, "_problem", lambda executable: tmp_path / "problem.npz")
    monkeypatch.setattr(certify, "answers", answers)
    return found


def obtain(*cells: Cell, remembered: bool = True) -> list[bool]:
    executables = [cell.executable for cell in cells]
    found = certify.certify(executables, timeout_s=60, remembered=remembered)
    return [certificate.passed for _, certificate in found]


@pytest.mark.parametrize("remembered", [True, False])
def test_precisions_share_their_float64_half(
    remembered: bool, worked: Worked, make_cell: MakeCell
) -> None:
    cells = [make_cell(precision=precision, batch_size=8) for precision in ("fp32", "bf16")]
    assert obtain(*cells, make_cell(), remembered=remembered) == [True, True]
    assert worked == [("sgd", "fp64"), ("sgd", "fp32"), ("sgd", "bf16")]


def test_what_is_known_is_worked_out_again_where_it_must_not_be_remembered(
    worked: Worked, make_cell: MakeCell
) -> None:
    obtain(make_cell())
    worked.clear()
    assert obtain(make_cell()) == [True]
    assert worked == []
    assert obtain(make_cell(), remembered=False) == [True]
    assert worked == [("sgd", "fp64"), ("sgd", "fp32")]


def test_a_half_that_failed_to_run_is_tried_again_alone(
    worked: Worked, make_cell: MakeCell
) -> None:
    cell = make_cell(optimizer="adam", precision="bf16")
    assert obtain(cell) == obtain(cell) == [False]
    assert worked == [("adam", "fp64"), ("adam", "bf16"), ("adam", "bf16")]


NO_CHECKS = '{"checks": [], "failure": null, "instead": null}'
FAILURE = '{"checks": [["gradients", 0.0, 1.0]], "failure": "crashed"}'


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", NO_CHECKS, FAILURE, '{"checks": [["gradients", "small", 1]]}']
)
def test_an_entry_of_the_cache_that_tells_nothing_is_made_anew(
    text: str, worked: Worked, make_cell: MakeCell, tmp_path: Path
) -> None:
    obtain(make_cell())
    [*files] = tmp_path.rglob("certificates/*.json")
    assert len(files) == 2
    for file in files:
        cache.keep(f"certificates/{file.name}", text)
    worked.clear()
    assert obtain(make_cell()) == [True]
    assert worked == [("sgd", "fp64"), ("sgd", "fp32")]
    worked.clear()
    assert obtain(make_cell()) == [True]
    assert worked == []


def test_a_half_without_checks_has_not_passed() -> None:
    assert not Half().passed
    assert Half().verdict == "failed: nothing was checked"


def test_a_problem_that_was_cut_off_is_posed_anew(
    make_cell: MakeCell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pose(module: str, model: str, ranks: str, training: str, file: str, **_: object) -> int:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("images.npy", f"{module} {model} {ranks} {training}")
        return 0

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("bench.processes.run", pose)
    executable = make_cell().executable
    file = certify._problem(executable)
    whole = file.read_bytes()
    assert b'bench.identity.problem resnet14 1 {"optimizer": "sgd"' in whole
    for content in (b"", whole[:40]):
        file.write_bytes(content)
        assert certify._problem(executable) == file
        assert file.read_bytes() == whole


def test_a_users_file_is_certified_again_where_a_neighbour_of_its_has_changed(
    worked: Worked, make_cell: MakeCell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, neighbour, within = (tmp_path / n for n in ("mine.py", "layers.py", "blocks/norm.py"))
    within.parent.mkdir()
    file.write_text("import blocks.norm\nfrom layers import Implementation\n")
    neighbour.write_text("first = 1\n")
    within.write_text("first = 1\n")
    cell = make_cell(implementation=str(file), backend="mine")
    assert obtain(cell) == obtain(cell) == [True]
    assert len(worked) == 2
    for number, changed in enumerate((neighbour, within), start=2):
        changed.write_text("second = 2\n")
        obtain(cell)
        assert len(worked) == 2 * number
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    obtain(cell)
    assert len(worked) == 8


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the sources of both packages, which certificates then depend on."""
    for package in (bench, resnet_impls):
        folder = tmp_path / package.__name__
        shutil.copytree(Path(next(iter(package.__path__))), folder)
        monkeypatch.setattr(package, "__path__", [str(folder)])
    return tmp_path


@pytest.mark.parametrize(
    ("changed", "again"),
    [
        ("resnet_impls/keras_loops.py", ["keras_subclass"]),
        ("resnet_impls/numpy_reference.py", ["flax_nnx", "keras_subclass"]),
        ("bench/cells.py", ["flax_nnx", "keras_subclass"]),  # the learning rates
        ("bench/identity/limits.py", ["flax_nnx", "keras_subclass"]),
        ("bench/data/recipes.py", ["flax_nnx", "keras_subclass"]),
        ("bench/worker/environment.py", []),  # by its variables
        ("bench/worker/implementations.py", ["flax_nnx", "keras_subclass"]),
        ("bench/reports/report.py", []),
        ("bench/cli/run.py", []),
        ("resnet_impls/torch_module.py", []),
    ],
)
def test_what_is_imported_is_part_of_a_certificate_and_nothing_else(
    changed: str, again: list[str], worked: Worked, make_cell: MakeCell, copied: Path
) -> None:
    cells = {
        name: make_cell(implementation=name, backend="jax", mode="compiled")
        for name in ("flax_nnx", "keras_subclass")
    }
    obtain(*cells.values())
    with (copied / changed).open("a") as file:
        file.write("# changed\n")
    found = []
    for name, cell in cells.items():
        worked.clear()
        obtain(cell)
        found += [name] * bool(worked)
    assert found == again


def test_no_import_of_ours_is_relative_which_would_not_be_followed() -> None:
    packages: tuple[ModuleType, ...] = (bench, resnet_impls)
    for package in packages:
        for file in Path(next(iter(package.__path__))).rglob("*.py"):
            assert "\nfrom ." not in file.read_text(encoding="utf-8")


def test_a_users_file_may_stand_beside_what_is_no_text(
    worked: Worked, make_cell: MakeCell, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text("from resnet_impls.nowhere import Implementation\n")
    (tmp_path / "old.py").write_bytes(b"# -*- coding: latin-1 -*-\n# \xe4\n")
    (tmp_path / "older.py").write_bytes(b"print 'two'\n\0\xff\n")
    cell = make_cell(implementation=str(tmp_path / "mine.py"), backend="mine")
    assert obtain(cell) == [True]


def test_on_a_gpu_the_packages_of_cuda_count(monkeypatch: pytest.MonkeyPatch) -> None:
    class Distribution:
        def __init__(self, name: str) -> None:
            self.name, self.version = name, "9.1"

    names = ("nvidia-cudnn-cu12", "nvidia_cublas_cu12", "jax-cuda12-plugin", "triton", "numpy")
    monkeypatch.setattr(dependencies, "distributions", lambda: map(Distribution, names))
    dependencies._device_versions.cache_clear()
    on_cpu = dependencies.versions(("numpy",), "cpu")
    on_gpu = dependencies.versions(("numpy",), "cuda")
    dependencies._device_versions.cache_clear()
    assert on_cpu.keys() == {"numpy"}
    assert on_gpu.keys() == {
        *("numpy", "nvidia-cudnn-cu12", "nvidia-cublas-cu12", "jax-cuda12-plugin", "triton")
    }


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--impl", "torch_module", "--precision", "tf32", "--device", "cpu"), 1, "a CPU has none"),
        (("--impl", "torchvision_model", "flax_nnx"), 1, "has no model resnet14"),
        (("--impl", "all"), 0, "torchvision_model eager fp32 resnet14 adam: unsupported"),
        (("--impl", "all", "torchvision_model"), 1, "resnet14 adam: unsupported"),
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
