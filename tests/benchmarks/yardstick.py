"""How an implementation stands beside a script that is written by hand for speed.

`python tests/benchmarks/yardstick.py [NAME…]` puts both into one process (from one process to
another there are up to 4 % of noise), checks that they learn and infer the same, and runs them in
turns, block by block in random order. A ratio is the implementation's time over the script's, the
median of the rounds; that of the implementation to a second instance of itself says how far the
machine lets figures stray. Stated is the mean over several such processes with its interval.
`torchvision_model` runs resnet50 beside loops in the style of torchvision's and timm's own
benchmarks.
"""

import argparse
import importlib
import json
import os
import random
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from bench.analysis.statistics import estimate
from bench.cells import Cell
from bench.executables import DEVICES
from bench.request.matrix import cells_of, contenders
from bench.request.request import Request
from bench.worker.environment import Environment
from resnet_impls.architecture import ARCHITECTURES
from resnet_impls.weights import initial_weights

SCRIPTS = {
    "torch_module": "torch_script",
    "tensorflow_module": "tensorflow_script",
    "flax_nnx": "jax_script",
    "keras_functional": "keras_script",
    "keras_subclass": "keras_script",
    "keras_sequential": "keras_script",
    "keras_fused": "keras_script",
    "torchvision_model": "resnet50_script",
}
Blocks = dict[str, tuple[Callable[[int], Any], Callable[[int], Any]]]  # train, infer


def cells(names: list[str], device: str, batch_size: int | None, model: str | None) -> list[Cell]:
    """Each contender in each of its modes on this machine."""
    found = []
    for name in names:
        large = name.startswith("torchvision")
        request = Request(
            impl=(name,),
            model=(model or ("resnet50" if large else "resnet14"),),
            workload=("train",),
            device=(device,),
            batch_size=(batch_size or (4 if large else 64),),
            steps=1,
            all_modes=not large,
        )
        found += cells_of(request)
    return found


def sides(cell: Cell) -> Blocks:
    """The implementation, the same once more, and what it is measured by."""
    architecture = ARCHITECTURES[cell.model]
    weights = initial_weights(architecture, 0)
    stream = np.random.default_rng(0)
    shape = (4, cell.batch_size, architecture.image_size, architecture.image_size, 3)
    images = stream.standard_normal(shape, np.float32)
    labels = stream.integers(0, architecture.classes, shape[:2]).astype(np.int32)
    parameters = [weights[name] for name in architecture.parameters]

    def scripts() -> Blocks:
        script = importlib.import_module(f"yardsticks.{SCRIPTS[cell.implementation]}").script
        found = script(cell, parameters, images, labels)
        return found if isinstance(found, dict) else {"script": found}

    def implementation(side: str) -> Blocks:
        module = importlib.import_module(f"resnet_impls.{cell.implementation}")
        built = module.Implementation(
            *(architecture, weights),
            **{"device": cell.device, "precision": "fp32", "mode": cell.mode},
            **{"optimizer": "adam", "learning_rate": 1e-3},
        )
        built.place(images, labels)
        return {side: (built.train, built.infer)}

    builders = [scripts, lambda: implementation("implementation"), lambda: implementation("itself")]
    found: Blocks = {}
    for build in random.sample(builders, len(builders)):  # places in memory are by lot, too
        found |= build()
    return found


def measure(cell: Cell, rounds: int, steps: int) -> dict[str, float]:
    """Cell, workload and side -> the implementation's time over that side's, in this process."""
    contest = sides(cell)
    train, infer = contest["implementation"]
    losses, logits = train(6), infer(3)
    for side, (train, infer) in contest.items():
        if side != "implementation":
            error = np.abs(np.asarray(train(6)[:2]) / losses[:2] - 1).max()
            assert error < 0.01, f"{cell.label}, {side}: losses are off by {error:.1%}"
            error = np.linalg.norm(infer(3) - logits) / np.linalg.norm(logits)
            assert error < 0.05, f"{cell.label}, {side}: logits are off by {error:.1%}"
    ratios: dict[str, list[float]] = defaultdict(list)
    for number, workload in enumerate(("train", "infer")):
        for blocks in contest.values():
            blocks[number](2)
        for _ in range(rounds):
            taken = {}
            for side in random.sample(list(contest), len(contest)):
                start = perf_counter()
                contest[side][number](steps)
                taken[side] = perf_counter() - start
            for side in contest.keys() - {"implementation"}:
                ratios[f"{cell.label} | {workload} | {side}"].append(
                    taken["implementation"] / taken[side]
                )
    return {what: statistics.median(values) for what, values in ratios.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contenders", nargs="*", metavar="NAME", default=list(SCRIPTS))
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=5, help="steps of a block (5)")
    parser.add_argument("--mode", help="this mode only")
    parser.add_argument("--batch-size", type=int, help="(64; 4 of networks for large images)")
    parser.add_argument("--model", help="(resnet14; resnet50 of networks for large images)")
    parser.add_argument("--device", choices=DEVICES, default="cpu")
    options = parser.parse_args()
    names = [f"{row.name}[{b.name}]" for row, b in contenders(options.contenders)]
    if "YARDSTICK" not in os.environ:
        print("| implementation | workload | over | time |\n|---|---|---|---:|", flush=True)
    for cell in cells(names, options.device, options.batch_size, options.model):
        if options.mode not in (None, cell.mode):
            continue
        if "YARDSTICK" in os.environ:  # this is one of the processes
            print(json.dumps(measure(cell, options.rounds, options.steps)))
            continue
        command = [sys.executable, __file__, f"{cell.implementation}[{cell.backend}]"]
        command += ["--mode", cell.mode, "--rounds", str(options.rounds)]
        command += ["--steps", str(options.steps), "--device", cell.device]
        command += ["--batch-size", str(cell.batch_size), "--model", cell.model]
        environ = os.environ | Environment.of(cell.executable).variables() | {"YARDSTICK": "1"}
        ratios: dict[str, list[float]] = defaultdict(list)
        for _ in range(options.processes):
            told = subprocess.run(command, env=environ, stdout=subprocess.PIPE, check=True)
            for what, ratio in json.loads(told.stdout.splitlines()[-1]).items():
                ratios[what].append(ratio)
        for what in sorted(ratios):
            found = estimate(ratios[what])
            assert found
            interval = f" [{found.low:.3f}, {found.high:.3f}]" if found.high else ""
            print(f"| {what} | {found.value:.3f}{interval} |", flush=True)


if __name__ == "__main__":
    main()
