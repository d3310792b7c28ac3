"""The largest batch that fits: the search, its trials in real processes, and the run it is for."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.calibrate import largest
from bench.cells import LARGEST, Cell
from bench.parent.child import Failure, one_worker
from bench.records.reading import read
from bench.request.request import Request
from bench.worker.environment import Environment
from bench.worker.protocol import Build, WarmUp

Run = Callable[..., subprocess.CompletedProcess[str]]
MakeFaulty = Callable[[str, str], Path]


@pytest.mark.parametrize("most", [1, 63, 64, 1437, 16384])
@pytest.mark.parametrize("capacity", [0, 1, 2, 3, 40, 64, 100, 1400, 1437, 9000])
def test_the_search_ends_within_its_width(capacity: int, most: int) -> None:
    tried: list[int] = []

    def fits(size: int) -> bool:
        tried.append(size)
        return size <= capacity

    size = largest.search(fits, most)
    limit = min(capacity, most)
    assert size <= limit <= size + max(1, largest.WIDTH * size)
    if capacity >= most:
        assert size == most
    assert all(1 <= each <= most for each in tried)
    assert len(set(tried)) == len(tried) < 20


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps the limit")
def test_a_worker_that_needs_more_memory_than_it_may_have_is_out_of_memory(
    make_cell: Callable[..., Cell], faulty: MakeFaulty, digits: Path
) -> None:
    bodies = {
        "asks": "def train(self, steps): self.more = np.empty(8 << 30, np.uint8)",
        "aborts": "def train(self, steps): os.abort()",
    }
    for name, body in bodies.items():
        cell = make_cell(faulty(name, body))
        with one_worker(Environment.of(cell)) as child:
            child.ask(Build(cell=cell, data_folder=str(digits), memory_mib=4096.0), 60)
            with pytest.raises(Failure) as failure:
                child.ask(WarmUp(steps=1), 60)
        assert failure.value.status == "oom"


LIMITED = """
def place(self, images, labels):
    if images.shape[1] > 100:
        raise MemoryError("100 images are enough")
    super().place(images, labels)
"""


def test_max_is_searched_shown_and_run_as_an_ordinary_cell(
    faulty: MakeFaulty, resnet_bench: Run, tmp_path: Path
) -> None:
    path = faulty("limited", LIMITED)
    finished = resnet_bench(
        *("run", "--impl", path, "--optimizer", "sgd", "--no-certify", "--profile", "smoke"),
        *("--workload", "train", "--batch-size", 8, "max", "--out", "run"),
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "64 fits" in finished.stdout
    assert "128 does not: oom: MemoryError: 100 images are enough" in finished.stdout
    small, large = sorted(row.batch_size for row in read(tmp_path / "run"))
    assert small == 8
    assert 95 <= large <= 100
    assert f"largest: {large}" in finished.stdout
    options = json.loads((tmp_path / "run" / "run.json").read_text())["options"]
    assert options["batch_size"] == [8, "max"]
    assert list(options["largest_batches"].values()) == [large]

    again = resnet_bench("run", "--resume", "run")
    assert again.returncode == 0
    assert "fits" not in again.stdout
    assert len(read(tmp_path / "run")) == 2


def test_what_never_fits_gets_1_and_what_cannot_run_is_not_tried(
    make_cell: Callable[..., Cell], digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(largest, "trial", lambda cell, folder, timeout_s: "oom: none left")
    full, fixed = make_cell(batch_size=LARGEST), make_cell(batch_size=8)
    unsupported = make_cell(batch_size=LARGEST, precision="tf32")
    folders = {full: digits, fixed: digits}
    every = [full, fixed, unsupported]
    request = largest.found(Request(), every, folders, 60, lines.append)
    cells, placed = largest.numbered(request, every, folders)
    assert cells == [
        make_cell(batch_size=1),
        fixed,
        make_cell(batch_size=1, precision="tf32"),
    ]
    assert placed == {cells[0]: digits, fixed: digits}
    assert list(request.largest_batches.values()) == [0]
    assert "  1 does not: oom: none left" in lines


def test_a_batch_of_all_images_ends_the_search(
    make_cell: Callable[..., Cell], digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(largest, "trial", lambda cell, folder, timeout_s: None)
    cell = make_cell(batch_size=LARGEST)
    request = largest.found(Request(), [cell], {cell: digits}, 60, lines.append)
    cells, _ = largest.numbered(request, [cell], {cell: digits})
    assert [cell.batch_size for cell in cells] == [1437]
    assert lines[-1] == "  largest: 1437, all training images of digits"


def test_what_was_found_once_is_not_searched_for_again(
    make_cell: Callable[..., Cell], digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(largest, "trial", lambda cell, folder, timeout_s: None)
    cell = make_cell(batch_size=LARGEST)
    request = largest.found(Request(), [cell], {cell: digits}, 60, lambda line: None)
    monkeypatch.setattr(largest, "trial", lambda *arguments: pytest.fail("tried"))
    assert largest.found(request, [cell], {cell: digits}, 60, lambda line: None) == request
