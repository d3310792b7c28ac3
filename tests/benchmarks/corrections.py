"""What each correction costs: the step time of an implementation over that without the correction.

`python tests/benchmarks/corrections.py [NAME…]` takes, as variants, the implementation's own source
with one phrase changed to what its framework does by itself. All of them live in one process and
take turns of a few steps, since two processes of one program may differ by as much as a correction
costs. A ratio is that process's median over all rounds; stated is the mean over processes with its
interval. A ratio of 1 means that the correction is free; the ratio of a copy in which nothing is
changed says how far the machine lets figures stray, and the others mean no more than that.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from bench.analysis.statistics import estimate
from bench.cells import Cell
from bench.data.sharing import shared_data
from bench.executables import DEVICES
from bench.request.matrix import cells_of
from bench.request.request import Request
from bench.worker.environment import Environment

UNPADDED = ("if conv.stride > 1 and conv.padding:", "if False:")  # leaves stride 2 to "same"
KERAS: dict[str, tuple[tuple[str, str], ...]] = {
    "padding": (UNPADDED,),
    "running variance": (("return BatchNormalization(", "return layers.BatchNormalization("),),
    "Adam's epsilon": (
        (
            "optimizer_of(optimizer, learning_rate, weight_decay, learning_rates)",
            "keras.optimizers.Adam(learning_rate, epsilon=1e-8)",
        ),
    ),
}
# Contender -> correction -> phrases of its source, and what stands there without the correction
CORRECTIONS: dict[str, dict[str, tuple[tuple[str, str], ...]]] = {
    "tensorflow_module": {
        "padding": (UNPADDED,),
        "Adam's epsilon": (('1e-8 * tf.sqrt(1 - powers["beta2_power"])', "1e-8"),),
    },
    "flax_nnx": {
        "padding": (
            ("if conv.stride > 1:", "if False:"),
            ('"padding": pad,', '"padding": "SAME",'),
        ),
        "running variance": (("] = BatchNorm(", "] = nnx.BatchNorm("),),
    },
    "keras_functional[tensorflow]": KERAS,
    "keras_functional[jax]": KERAS,
    "keras_functional[torch]": KERAS,
}


def cell_of(contender: str, device: str) -> Cell:
    """Training of `contender` as the default run on a CPU does it."""
    request = Request(
        impl=(contender,),
        workload=("train",),
        device=(device,),
        batch_size=(64,),
        steps=10_000,  # more than are ever run
    )
    return cells_of(request)[0]


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


def variants(contender: str, device: str, folder: Path) -> dict[str, Cell]:
    """What is left out -> the cell without it, whose source is a file in `folder`."""
    changes: dict[str, tuple[tuple[str, str], ...]] = {"nothing": (), **CORRECTIONS[contender]}
    return {
        what: variant(cell_of(contender, device), phrases, folder / f"without{index}.py")
        for index, (what, phrases) in enumerate(changes.items())
    }


def measure(contender: str, folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """Correction -> ratio of step times, with over without, in this process."""
    from bench.worker.measured import MeasuredCell

    device, steps = options.device, options.steps
    cells = {"": cell_of(contender, device), **variants(contender, device, folder)}
    workers = {what: MeasuredCell(cell, Path(options.data)) for what, cell in cells.items()}
    order = random.sample(list(workers), len(workers))  # places in memory are by lot, too
    for what in order:
        workers[what].build()
    for what in order:
        workers[what].warm_up(2 * steps)
    ratios: dict[str, list[float]] = defaultdict(list)
    for _ in range(options.rounds):
        order = random.sample(list(workers), len(workers))
        block_s = {what: workers[what].block(steps).block_s for what in order}
        for what in cells.keys() - {""}:
            ratios[what].append(block_s[""] / block_s[what])
    return {what: statistics.median(ratios[what]) for what in cells if what}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contenders", nargs="*", metavar="NAME", default=list(CORRECTIONS))
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=3, help="steps of a block (3)")
    parser.add_argument("--device", choices=DEVICES, default="cpu")
    parser.add_argument("--data", help=argparse.SUPPRESS)  # where this is one of the processes
    options = parser.parse_args()
    for contender in options.contenders:
        cell = cell_of(contender, options.device)
        if options.data:
            with tempfile.TemporaryDirectory() as folder:
                print(json.dumps(measure(contender, Path(folder), options)))
            continue
        command = [sys.executable, __file__, contender, f"--rounds={options.rounds}"]
        command += [f"--device={options.device}"]
        ratios: dict[str, list[float]] = defaultdict(list)
        with shared_data([cell], None) as data:
            command += [f"--steps={options.steps}", f"--data={data[cell]}"]
            for _ in range(options.processes):
                environ = {**os.environ, **Environment.of(cell).variables()}
                told = subprocess.run(command, env=environ, stdout=subprocess.PIPE, check=True)
                for what, ratio in json.loads(told.stdout.splitlines()[-1]).items():
                    ratios[what].append(ratio)
        for what, values in ratios.items():
            found = estimate(values)
            assert found
            interval = f" [{found.low:.3f}, {found.high:.3f}]" if found.high else ""
            print(f"{contender}, {what}: {found.value:.3f}{interval}", flush=True)


if __name__ == "__main__":
    main()
