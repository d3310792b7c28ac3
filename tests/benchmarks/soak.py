"""Whether a long run grows: `python tests/benchmarks/soak.py [CELLS]` measures CELLS (300) short
cells in one run, and shows the memory and the descriptors of the process that measures at the 50th
record and at the last. Exit code 1 where one of them has grown by more than 5 %.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

ROOT = Path(__file__).resolve().parents[2]
FAKE = ROOT / "tests" / "fake_implementation.py"
FIRST = 50
MOST = 0.05
LOOK_S = 0.2


class Held(NamedTuple):
    """What a process holds."""

    resident_mib: float
    descriptors: int


def held(process: psutil.Process) -> Held:
    return Held(process.memory_info().rss / 2**20, process.num_fds())


def soak(cells: int) -> tuple[Held, Held]:
    """What the process held at the record FIRST, and at the last that it was seen at."""
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    try:
        fake = shutil.copy(FAKE, folder)
        records = folder / "run" / "records.jsonl"
        sizes = map(str, range(1, cells + 1))
        words = [
            *("run", "--impl", str(fake), "--workload", "train", "--optimizer", "sgd"),
            *("--no-certify", "--steps", "3", "--replicates", "1", "--out", str(folder / "run")),
            *("--batch-size", *sizes),
        ]
        with subprocess.Popen(
            [sys.executable, "-m", "bench", *words], cwd=ROOT, stdout=subprocess.DEVNULL
        ) as run:
            process = psutil.Process(run.pid)
            seen: dict[int, Held] = {}
            while run.poll() is None:
                time.sleep(LOOK_S)
                with suppress(psutil.Error, FileNotFoundError):
                    lines = records.read_bytes().count(b"\n")
                    if FIRST <= lines < cells:  # after the last it writes reports
                        seen[lines] = held(process)
            assert run.returncode == 0
        return seen[min(seen)], seen[max(seen)]
    finally:
        shutil.rmtree(folder)


def main() -> int:
    cells = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    first, last = soak(cells)
    for name, before, after in zip(Held._fields, first, last, strict=True):
        print(f"{name}: {before:.1f} at {FIRST}, {after:.1f} at {cells}: {after / before - 1:+.1%}")
    grown = any(after > before * (1 + MOST) for before, after in zip(first, last, strict=True))
    return 1 if grown else 0


if __name__ == "__main__":
    raise SystemExit(main())
