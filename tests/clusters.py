"""What the tests of all engines share: a run, what its rows must hold, and a cluster's type."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.records.record import Record

ASKED = (
    *("--no-certify", "--workload", "train", "--optimizer", "sgd", "--steps", 6, "--seed", 7),
    *("--mode", "eager", "graph", "--batch-size", 32, 64, "--replicates", 2, "--threads", 1),
)
# Of each run, workers wait that come after the first few and whose batches have a certain size
HELD = """\
def place(self, images, labels):
    self.size = images.shape[1]
    super().place(images, labels)

def train(self, steps):
    sizes, free = json.loads((HERE / "hold").read_text())
    if self.size in sizes and self.number() > free:
        (HERE / f"held-{os.getppid()}").touch()
        while not (HERE / "go").exists():
            time.sleep(0.01)
    return super().train(steps)

def number(self):
    for number in range(1, 100):
        path = HERE / f"worker-{os.getppid()}-{number}"
        if not path.exists():
            path.touch()
            path.write_text(str(os.getpid()))
        if path.read_text() == str(os.getpid()):
            return number
"""


def fingerprint(row: Record) -> tuple[Any, ...]:
    """What a row must hold again wherever it is measured, and no time."""
    return (
        *(row.cell.name, row.replicate, row.drawn_seed, row.status),
        *(row.weights_sha256, row.data_sha256, row.losses, row.final_loss, row.test_accuracy),
    )


def hold(folder: Path, sizes: Sequence[int] = (32, 64), free: int = 0) -> None:
    """Have workers wait for a file `go`: of each run those that come after the first `free`, and
    whose batches are of one of these sizes.
    """
    for path in (folder / "go", *folder.glob("held-*"), *folder.glob("worker-*")):
        path.unlink(missing_ok=True)
    (folder / "hold").write_text(json.dumps([sizes, free]))


def held_runs(folder: Path) -> int:
    """How many runs have a worker that waits, or has."""
    return len(list(folder.glob("held-*")))


class Slurm(NamedTuple):
    """A cluster of two nodes: node1 has the feature red, node2 blue."""

    variables: dict[str, str]  # that its commands and ours need

    def ask(self, *words: str) -> str:
        """What one of its commands prints."""
        return subprocess.run(
            words, env=self.variables, capture_output=True, text=True, check=True, timeout=60
        ).stdout
