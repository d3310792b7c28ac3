"""What a process compiles, handed to the next one of its cell and to no other: real compilers."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.cells import Cell
from bench.parent.compile_caches import CompileCaches
from bench.records import Record
from bench.records.reading import read
from bench.worker.environment import Environment
from builders import report_md, timed

Run = Callable[..., subprocess.CompletedProcess[str]]
MakeCell = Callable[..., Cell]
MakeFaulty = Callable[[str, str], Path]

# Implementations that tell what their compiler found of earlier processes'
COUNTING = {
    "torch_counting": """
from torch._dynamo.utils import counters
from resnet_impls.torch_module import Implementation as Good

class Implementation(Good):
    def settings(self, *arguments):
        found = counters["inductor"]["fxgraph_cache_hit"]
        found += counters["aot_autograd"]["autograd_cache_hit"]
        return {"found": found}
""",
    "jax_counting": """
import jax
from resnet_impls.flax_nnx import Implementation as Good

found = []

def listen(event, **details):
    if event == "/jax/compilation_cache/cache_hits":
        found.append(event)

jax.monitoring.register_event_listener(listen)

class Implementation(Good):
    def settings(self, *arguments):
        return {"found": len(found)}
""",
}


def counting(folder: Path, name: str) -> Path:
    path = folder / f"{name}.py"
    path.write_text(COUNTING[name])
    return path


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.long if name == "torch_counting" else ())
        for name in COUNTING
    ],
)
def test_the_second_process_finds_what_the_first_compiled(
    name: str, resnet_bench: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    # by itself JAX keeps what took it a second to compile
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    out = tmp_path / "run"
    done = resnet_bench(
        *("run", "--impl", counting(tmp_path, name), "--mode", "compiled", "--no-certify"),
        *("--workload", "infer", "--batch-size", 2, 3, "--steps", 4, "--replicates", 2),
        *("--share-compile-cache", "--out", out),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {(row.batch_size, row.replicate): row for row in read(out)}
    assert len(rows) == 4
    for batch_size in (2, 3):  # neither finds anything of the other's
        cold, warm = rows[batch_size, 0], rows[batch_size, 1]
        assert (cold.compile_cache_warm, cold.settings["found"]) == (False, "0")
        assert warm.compile_cache_warm
        assert int(warm.settings["found"]) > 0
        assert None not in beginning(cold)
        assert set(beginning(warm)) == {None}
        assert warm.throughput_images_per_s
    assert json.loads((out / "run.json").read_text())["options"]["share_compile_cache"]
    assert "Compiled by the first process alone" in (out / "report.md").read_text()
    assert not list(temporary.iterdir())


def beginning(row: Record) -> list[float | None]:
    return [row.first_step_s, row.warmup_s, row.import_s, row.build_s, row.host_peak_mib]


# Leaves a file where Inductor would, and fails where it finds one and is told to
LEAVES = """
def place(self, images, labels):
    folder = Path(os.environ["TORCHINDUCTOR_CACHE_DIR"])
    kept = folder / "kernel"
    failing = kept.exists() and (HERE / "fail").exists()
    folder.mkdir(exist_ok=True)
    kept.write_text("")
    assert not failing
    super().place(images, labels)
"""


def test_by_itself_and_on_the_way_to_a_target_each_process_compiles(
    faulty: MakeFaulty, resnet_bench: Run, tmp_path: Path
) -> None:
    common = [
        *("run", "--impl", faulty("leaves", LEAVES), "--optimizer", "sgd", "--no-certify"),
        *("--steps", 10, "--replicates", 2),
    ]
    to_target = ("--workload", "train-to", "--target-accuracy", 0.1, "--share-compile-cache")
    for number, more in enumerate([("--workload", "train"), to_target]):
        resnet_bench(*common, *more, "--out", tmp_path / str(number))
        rows = read(tmp_path / str(number))
        assert [(row.status, row.compile_cache_warm) for row in rows] == [("ok", None)] * 2
        assert None not in {row.first_step_s for row in rows}


def test_nothing_of_a_process_that_failed_is_handed_on(
    faulty: MakeFaulty, resnet_bench: Run, tmp_path: Path
) -> None:
    path = faulty("leaves", LEAVES)
    (path.parent / "fail").touch()
    resnet_bench(
        *("run", "--impl", path, "--optimizer", "sgd", "--no-certify", "--workload", "train"),
        *("--steps", 4, "--replicates", 4, "--share-compile-cache", "--out", tmp_path / "run"),
    )
    found = [(row.status, row.compile_cache_warm) for row in read(tmp_path / "run")]
    assert found == [("ok", False), ("crashed", True)] * 2


def test_a_killed_run_leaves_no_compiled_file(
    faulty: MakeFaulty, tmp_path: Path, eventually: Callable[..., bool]
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    body = LEAVES + "    (HERE / 'left').touch()\n    time.sleep(600)\n"
    path = faulty("sleeps", body)
    command = [sys.executable, "-m", "bench", "run", "--impl", path, "--optimizer", "sgd"]
    command += ["--no-certify", "--workload", "train", "--steps", "4", "--share-compile-cache"]
    with subprocess.Popen(
        [*map(str, command), "--out", str(tmp_path / "run")],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            assert eventually(path.with_name("left").exists, 120)
            assert list(temporary.glob("**/kernel"))
        finally:
            process.kill()
    assert eventually(lambda: not list(temporary.iterdir()))


def test_each_cell_has_a_folder_of_its_own(make_cell: MakeCell, tmp_path: Path) -> None:
    caches = CompileCaches(tmp_path)
    cells = [make_cell(), make_cell(mode="compiled"), make_cell(precision="bf16")]
    folders = {caches.of(cell) for cell in cells}
    assert len(folders) == 3
    assert caches.of(cells[0]) == caches.of(make_cell())
    folder = caches.of(cells[0])
    assert folder
    (folder / "kernel").write_text("")
    assert [caches.warm(cell) for cell in cells] == [True, False, False]
    assert CompileCaches().warm(cells[0]) is None


def test_no_folder_is_part_of_what_a_certificate_depends_on(
    make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/a/users")
    environment = Environment.of(make_cell())
    alone, shared = environment.of_worker("/own"), environment.of_worker("/own", "/shared")
    differing = {name for name in alone if alone[name] != shared[name]}
    assert not differing & environment.library_variables().keys()
    assert alone["TORCHINDUCTOR_CACHE_DIR"] == "/own"
    assert alone["JAX_ENABLE_COMPILATION_CACHE"] == "false"


def test_a_report_names_who_compiled_once_and_shows_its_first_process() -> None:
    begun: dict[str, Any] = {"import_s": 1.0, "build_s": 1.0, "first_step_s": 33.0}
    rows = [
        timed([1.0], cohort="0", compile_cache_warm=False, **begun),
        timed([1.1], cohort="1", compile_cache_warm=True, replicate=1),
    ]
    text = report_md(*rows)
    assert "(`--share-compile-cache`): PyTorch eager." in text
    assert "33.00" in text  # the first step
    assert "share-compile-cache" not in report_md(timed([1.0], **begun))
