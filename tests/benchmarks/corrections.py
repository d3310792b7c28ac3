"""What each correction costs: the step time of an implementation over that without the correction.

`python tests/benchmarks/corrections.py [NAME…]` takes, as variants, the implementation's own source
with one phrase changed to what its framework does by itself, and interleaves workers of all of them
block by block. A ratio of 1 means that the correction is free; the ratio of a copy in which nothing
is changed says how far the machine lets figures stray, and the others mean no more than that. The
interval is that of the median over all rounds; it does not know how much one process differs from
the next, which more `--processes` even out.
"""

import argparse
import random
import statistics
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from bench.cells import Cell, matrix
from bench.child import Child
from bench.run import shared_data

TIMEOUT_S = 600.0
STRIDED = ("if conv.stride > 1:", "if False:")  # the framework's own "same" at stride 2 too
KERAS: dict[str, tuple[tuple[str, str], ...]] = {
    "padding": (STRIDED,),
    "running variance": (("return BatchNormalization(", "return layers.BatchNormalization("),),
    "Adam's epsilon": (("rule = Adam(", "rule = keras.optimizers.Adam("),),
}
# Contender -> correction -> phrases of its source, and what stands there without the correction
CORRECTIONS: dict[str, dict[str, tuple[tuple[str, str], ...]]] = {
    "tensorflow_module": {
        "padding": (STRIDED,),
        "Adam's epsilon": (("1e-8 * tf.sqrt(1 - 0.999**step)", "1e-8"),),
    },
    "flax_nnx": {
        "padding": (STRIDED, ('"padding": pad,', '"padding": "SAME",')),
        "running variance": (("] = BatchNorm(", "] = nnx.BatchNorm("),),
    },
    "keras_functional[tensorflow]": KERAS,
    "keras_functional[jax]": KERAS,
    "keras_functional[torch]": KERAS,
}


def cell_of(contender: str) -> Cell:
    """Training of `contender` as the default run does it."""
    return matrix(
        impl=[contender],
        mode=None,
        model=["resnet14"],
        workload=["train"],
        device=["cpu"],
        precision=["fp32"],
        batch_size=[64],
        optimizer=["adam"],
        dataset="digits",
        seed=0,
        steps=10_000,  # more than are ever run
    )[0]


def variant(cell: Cell, phrases: tuple[tuple[str, str], ...], file: Path) -> Cell:
    """`cell` without a correction: its source with other phrases, as a user's file."""
    folder = Path(__file__).parents[2] / "resnet_impls"
    source = (folder / f"{cell.implementation}.py").read_text(encoding="utf-8")
    for phrase, instead in phrases:
        assert source.count(phrase) == 1, f"{cell.implementation} has changed: {phrase!r}"
        source = source.replace(phrase, instead)
    # a user's file is a backend of its own, whose name Keras would not know
    backend = f"import os\n\nos.environ['KERAS_BACKEND'] = {cell.backend!r}\n"
    file.write_text(backend + source, encoding="utf-8")
    return replace(cell, implementation=str(file), backend=file.stem)


def measure(contender: str, processes: int, rounds: int, steps: int) -> dict[str, list[float]]:
    """Correction -> ratios of step times, with over without, one per round and process."""
    ratios: dict[str, list[float]] = defaultdict(list)
    cell = cell_of(contender)
    changes: dict[str, tuple[tuple[str, str], ...]] = {"nothing": (), **CORRECTIONS[contender]}
    with tempfile.TemporaryDirectory() as name, shared_data([cell], None) as data:
        folder = Path(name)
        cells = {"": cell} | {
            what: variant(cell, phrases, folder / f"without{index}.py")
            for index, (what, phrases) in enumerate(changes.items())
        }
        for _ in range(processes):
            with ExitStack() as stack:
                workers = {
                    what: Child(each, data[cell], folder / "log") for what, each in cells.items()
                }
                for worker in workers.values():
                    stack.callback(worker.end)
                for worker in workers.values():
                    worker.ask("build", TIMEOUT_S)
                    worker.ask("warm_up", TIMEOUT_S, steps=10)
                for _ in range(rounds):
                    block_s = {
                        what: worker.ask("block", TIMEOUT_S, steps=steps)["block_s"]
                        for what, worker in random.sample(list(workers.items()), len(workers))
                    }
                    for what in changes:
                        ratios[what].append(block_s[""] / block_s[what])
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contenders", nargs="*", metavar="NAME", default=list(CORRECTIONS))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--steps", type=int, default=5, help="steps of a block (5)")
    options = parser.parse_args()
    for contender in options.contenders:
        measured = measure(contender, options.processes, options.rounds, options.steps)
        for what, values in measured.items():
            medians = sorted(
                statistics.median(random.choices(values, k=len(values))) for _ in range(2000)
            )
            stated = f"{statistics.median(values):.3f} [{medians[50]:.3f}, {medians[-50]:.3f}]"
            print(f"{contender}, {what}: {stated} of {len(values)} rounds", flush=True)


if __name__ == "__main__":
    main()
