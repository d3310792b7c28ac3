"""How often a verdict is right: cells that are equal, and cells that are slower by a known part.

`python tests/benchmarks/verdicts.py ours` measures copies of one PyTorch cell side by side, as
`resnet-bench run` does, half of them slowed down, and counts the verdicts over all pairs: of each
pair for itself, and as the report of such a run gives them, which account for the number of pairs;
by their intervals, and by the noise floor of this machine as well, where `doctor --aa` has measured
it.

`python tests/benchmarks/verdicts.py pytest-benchmark` runs the same work under pytest-benchmark,
plain and slowed down in turns, and counts what its comparison with the run before says: a
regression where the median has grown by more than a threshold.
"""

import argparse
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from itertools import combinations, product
from pathlib import Path

from bench.analysis.groups import judged_together
from bench.analysis.statistics import compare
from bench.calibrate import noise
from bench.cells import Cell
from bench.data.sharing import shared_data
from bench.machine.facts import this_machine
from bench.records import Record, Run
from bench.request.matrix import cells_of
from bench.request.request import Request
from bench.run.measure import measure

PLAIN = "from resnet_impls.torch_module import Implementation\n"
SLOWED = """\
from time import perf_counter
from resnet_impls.torch_module import Implementation as Plain

class Implementation(Plain):
    def train(self, steps):
        start = perf_counter()
        losses = super().train(steps)
        end = start + {factor} * (perf_counter() - start)
        while perf_counter() < end:
            pass
        return losses
"""
BENCHMARK = """\
import sys
import numpy as np
from resnet_impls.architecture import ARCHITECTURES
from resnet_impls.weights import initial_weights
sys.path.insert(0, {folder!r})
from {module} import Implementation

def test_train(benchmark):
    network = ARCHITECTURES["resnet14"]
    built = Implementation(
        network, initial_weights(network, 0), device="cpu", precision="fp32", mode="eager",
        optimizer="sgd", learning_rate=0.05,
    )
    stream = np.random.default_rng(0)
    images = stream.standard_normal(({steps}, {batch}, 32, 32, 3), np.float32)
    built.place(images, stream.integers(0, 10, images.shape[:2]).astype(np.int32))
    built.train(5)
    benchmark.pedantic(built.train, (1,), rounds={steps})
"""


def implementations(folder: Path, slowdown: float, copies: int) -> tuple[list[Path], list[Path]]:
    """Files of `copies` plain implementations, and of as many that take longer by `slowdown`."""
    written: tuple[list[Path], list[Path]] = ([], [])
    for kind, (name, text) in enumerate(
        (("plain", PLAIN), ("slowed", SLOWED.format(factor=1 + slowdown)))
    ):
        for copy in range(copies):
            path = folder / f"{name}{copy}.py"
            path.write_text(text, encoding="utf-8")
            written[kind].append(path)
    return written


def request(paths: list[Path], steps: int, batch: int, seed: int = 0) -> Request:
    return Request(
        impl=tuple(map(str, paths)),
        mode=("eager",),
        workload=("train",),
        device=("cpu",),
        batch_size=(batch,),
        optimizer=("sgd",),
        steps=steps,
        seed=seed,
    )


def ours(options: argparse.Namespace, folder: Path) -> None:
    plain_files, slowed_files = implementations(folder, options.slowdown, options.copies)
    plain = cells_of(request(plain_files, options.steps, options.batch))
    slowed = cells_of(request(slowed_files, options.steps, options.batch))
    counts: defaultdict[str, Counter[str | None]] = defaultdict(Counter)
    measured_s = []
    machine = this_machine()
    found = noise.known(["cpu"], options.replicates, machine)
    floors = {"": 0.0} | {f", floor {known.value:.2%}": known.value for known in found.values()}
    for seed in range(options.runs):
        asked = request([*plain_files, *slowed_files], options.steps, options.batch, seed)
        run = Run(run_id=str(seed), command="verdicts.py", options=asked, machine=machine)
        rows: dict[Cell, list[Record]] = {cell: [] for cell in (*plain, *slowed)}
        tasks = [(cell, index) for cell in rows for index in range(options.replicates)]
        with shared_data(rows, None) as data_folders:
            for record in measure(run, tasks, data_folders, {}, logs=folder, timeout_s=600):
                assert record.status == "ok", record.reason
                rows[record.cell].append(record)
        pairs = {
            "equal cells": [*combinations(plain, 2), *combinations(slowed, 2)],
            f"slower by {options.slowdown:.0%}": list(product(slowed, plain)),
        }
        every = [pair for of_kind in pairs.values() for pair in of_kind]
        for by, floor in floors.items():
            alone = {(a, b): compare(rows[a], rows[b], floor) for a, b in every}
            compared = {pair: found for pair, found in alone.items() if found}
            together = judged_together(compared)
            for kind, of_kind in pairs.items():
                counts[f"{kind}, each for itself{by}"] += Counter(
                    compared[p].verdict for p in of_kind
                )
                counts[f"{kind}, as reported{by}"] += Counter(together[p].verdict for p in of_kind)
        measured_s += [sum(sum(r.block_s) for cell in pair for r in rows[cell]) for pair in every]
        for kind, verdicts in counts.items():
            print(f"{kind}: {_counts(verdicts)}")
        mean_s = sum(measured_s) / len(measured_s)
        print(f"{mean_s:.0f} s of measuring for each comparison", flush=True)


def pytest_benchmark(options: argparse.Namespace, folder: Path) -> None:
    [[plain], [slowed]] = implementations(folder, options.slowdown, 1)
    # of as many timed steps as all processes of one cell have together
    steps = options.replicates * (options.steps - options.steps // 10 - 1)
    texts = {
        kind: BENCHMARK.format(
            folder=str(folder), module=path.stem, steps=steps, batch=options.batch
        )
        for kind, path in (("plain", plain), ("slowed", slowed))
    }
    equal: Counter[str] = Counter()
    planted: Counter[str] = Counter()
    storage = folder / "storage"
    _regression(folder, texts["plain"], storage, options.threshold, save=True)
    for _ in range(options.runs):
        # each is compared with the last plain run, which is the newest that was saved
        for kind, counts in (("slowed", planted), ("plain", equal)):
            save = kind == "plain"
            found = _regression(folder, texts[kind], storage, options.threshold, save=save)
            counts["slower" if found else "no regression"] += 1
        print(
            f"equal runs: {_counts(equal)}; slower by {options.slowdown:.0%}: {_counts(planted)}; "
            f"threshold {options.threshold}",
            flush=True,
        )


def _regression(folder: Path, text: str, storage: Path, threshold: str, *, save: bool) -> bool:
    """Run a benchmark; whether it is slower than the newest saved one by `threshold`."""
    test = folder / "test_train.py"
    test.write_text(text, encoding="utf-8")
    compared = ["--benchmark-compare", f"--benchmark-compare-fail={threshold}"]
    finished = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", str(test), "-q", "-p", "no:cacheprovider"),
            *(f"--rootdir={folder}", "-c", "/dev/null", f"--benchmark-storage={storage}"),
            *(compared if storage.exists() else []),
            *(["--benchmark-autosave"] if save else []),
        ],
        capture_output=True,
        text=True,
    )
    if finished.returncode and "Performance has regressed" not in finished.stdout + finished.stderr:
        raise RuntimeError(finished.stdout + finished.stderr)
    return finished.returncode != 0


def _counts(counts: Counter[str] | Counter[str | None]) -> str:
    total = sum(counts.values())
    return ", ".join(f"{number} of {total} {name}" for name, number in counts.most_common())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("ours", "pytest-benchmark"))
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--copies", type=int, default=4, help="of each kind, side by side")
    parser.add_argument("--replicates", type=int, default=5)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--slowdown", type=float, default=0.05)
    parser.add_argument("--threshold", default="median:3%")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        {"ours": ours, "pytest-benchmark": pytest_benchmark}[options.what](options, Path(name))


if __name__ == "__main__":
    main()
