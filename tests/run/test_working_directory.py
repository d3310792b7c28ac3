"""Files where the user stands are the user's: no process of a run imports them."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench import processes
from bench.records.reading import read

NAMES = ("random", "keras", "numpy", "json", "resnet_impls", "psutil", "msgspec", "signal")
TRAP = """\
from pathlib import Path
Path(__file__).with_name("imported").touch()
raise ImportError(f"{__file__} is the user's")
"""


@pytest.fixture
def trapped(tmp_path: Path) -> Path:
    """A folder with files that are called as modules are."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text(TRAP, encoding="utf-8")
    return folder


# -P: a `bench.py` there is what Python itself takes for the module that it is told to run
@pytest.mark.parametrize("start", [("-m", "bench"), ("-P", "-m", "bench")])
def test_a_run_imports_nothing_from_where_the_user_stands(
    start: tuple[str, ...], trapped: Path, fake: Path
) -> None:
    if "-P" in start:
        (trapped / "bench.py").write_text(TRAP, encoding="utf-8")
    finished = subprocess.run(
        [
            *(sys.executable, *start, "run", "--impl", str(fake), "--optimizer", "sgd"),
            *("--no-certify", "--profile", "smoke", "--workload", "train", "--out", "run"),
        ],
        cwd=trapped,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    assert not (trapped / "imported").exists()
    assert [row.status for row in read(trapped / "run")] == ["ok"]


@pytest.mark.parametrize(
    ("module", "arguments", "said"),
    [
        ("bench.data.sharing", [], "IndexError"),
        ("bench.identity.problem", [], "ValueError"),
        ("bench.worker", ["no number"], "ValueError"),
    ],
)
def test_no_helper_imports_anything_from_there(
    module: str, arguments: list[str], said: str, trapped: Path
) -> None:
    (trapped / "bench.py").write_text(TRAP, encoding="utf-8")
    command = processes.command(module, *arguments)
    finished = subprocess.run(command, cwd=trapped, capture_output=True, text=True, timeout=60)
    assert said in finished.stderr  # it has come as far as its arguments
    assert not (trapped / "imported").exists()
