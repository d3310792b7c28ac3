"""What a worker does when it is its turn: one method for each turn, with JSON-ready answers.

The only place that imports an implementation.
"""

import importlib
import importlib.util
import math
import platform
import sys
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from types import ModuleType
from typing import Any

import psutil

from bench.cells import TRAINING, Cell, implementation, installed
from bench.data import datasets as data
from bench.data.augmentation import Batch, augmented
from bench.data.recipes import RECIPES
from bench.identity import checks as identity
from bench.identity import inference, problem
from bench.machine.state import own_cpu_s
from bench.worker import fed, memory, peak_probe
from bench.worker import settings as ledger
from bench.worker.audit import Audit
from bench.worker.workloads import Infer, Train, accuracy
from resnet_impls.architecture import ARCHITECTURES, Architecture
from resnet_impls.contract import Implementation
from resnet_impls.weights import Weights, fingerprint, initial_weights, load, save


class Worker:
    """One cell, built, warmed up and run block by block."""

    def __init__(self, cell: Cell, data_folder: str | None) -> None:
        self.cell = cell
        self.row = implementation(cell.implementation)
        if data_folder:
            self.data = data.open_folder(Path(data_folder))

    def build(self) -> dict[str, Any]:
        """Import the framework, build the network and place the batches on the device."""
        cell = self.cell
        architecture = ARCHITECTURES[cell.model]
        if cell.weights:
            weights = load(Path(cell.weights), architecture)
        else:
            weights = initial_weights(architecture, cell.seed)
        batches: dict[str, Any] = {}
        if not cell.input:
            found = self.data.batches(cell.batch_size, cell.steps, cell.seed)
            batches = dict(zip(("images", "labels"), found, strict=True))

        start = perf_counter()
        module = self._module()
        imported = perf_counter()
        pipeline = fed.start(cell, self.data)  # it may fork: before the framework begins threads
        self.implementation = self._implementation(
            module, architecture, weights, cell.optimizer or "sgd", cell.learning_rate or 0.0
        )
        if batches:
            self.implementation.place(**batches)
        self.workload = self._workload(pipeline)
        built = perf_counter()
        self.helpers = psutil.Process().children(recursive=True) if pipeline else []

        self.auditor = Audit(architecture, weights)
        training = cell.workload in TRAINING
        flops = architecture.training_flops if training else architecture.forward_flops
        packages = next(b.packages for b in self.row.backends if b.name == cell.backend)
        return {
            "import_s": imported - start,
            "build_s": built - imported,
            "host_baseline_mib": memory.host_mib(),
            "gflop_per_image": flops / 1e9,
            "weights_sha256": fingerprint(weights),
            "data_sha256": fingerprint(batches) if batches else None,
            "drawn_seed": cell.seed,
            "versions": {"python": platform.python_version()}
            | {name: installed(name) or "unknown" for name in (*packages, "numpy")},
        }

    def warm_up(self, steps: int) -> dict[str, Any]:
        """The first step, where frameworks compile, and `steps` more; each is timed apart."""
        self.workload.prepare(1 + steps)
        start = perf_counter()
        self.workload.run(1)
        first = perf_counter()
        if steps:
            self.workload.run(steps)
        warm = perf_counter()
        if self.cell.device == "cuda":
            memory.forget_device_peak(self.cell.backend, self.cell.mode)
        settings = ledger.read(self.cell, self.implementation)
        if self.cell.target_accuracy is not None:
            self.evaluate()  # the first may compile
        self.auditor.warm()  # last, for what was asked may have compiled something
        return {
            "first_step_s": first - start,
            "warmup_s": warm - first if steps else None,
            "host_mib": memory.host_mib(),
            "settings": settings,
        }

    def block(self, steps: int) -> dict[str, Any]:
        """Run `steps` steps; the clock is read at both ends, when the device is idle."""
        cpu_s = own_cpu_s(self.helpers)
        self.workload.prepare(steps)
        start = perf_counter()
        self.workload.run(steps)
        block_s = perf_counter() - start
        spent = self.workload.spent()
        held = memory.held_mib(self.cell.device, self.cell.backend)
        return {"block_s": block_s, "cpu_s": own_cpu_s(self.helpers) - cpu_s} | held | spent

    def evaluate(self) -> dict[str, Any]:
        """The accuracy of the present state, and the seconds that it takes to find out."""
        start = perf_counter()
        found = accuracy(self.implementation, self.data, self.cell.batch_size)
        return {"accuracy": found, "evaluation_s": perf_counter() - start}

    def finish(self, weights_file: str | None) -> dict[str, Any]:
        """Peak memory of what was timed, then what the workload led to, its weights in a file."""
        peaks: dict[str, Any] = {"host_peak_mib": memory.host_peak_mib()}
        peaks["compilations_while_timed"] = self.auditor.compilations.count
        if self.cell.device == "cuda":
            used, reserved = memory.device_peak_mib(self.cell.backend)
            peaks |= {"device_peak_mib": used, "device_reserved_mib": reserved}
        outcome = self.workload.outcome(self.data, self.cell.batch_size)
        if weights_file:
            save(Path(weights_file), self.implementation.weights())
        return peaks | outcome

    def latency(self, steps: int) -> dict[str, Any]:
        """Time `steps` single steps, each from an idle device to an idle device."""
        self.workload.run(1)  # no sample: it finds the caches as other workers left them
        ends = [perf_counter()]
        for _ in range(steps):
            self.workload.run(1)
            ends.append(perf_counter())
        return {"latency_ms": [(end - start) * 1e3 for start, end in pairwise(ends)]}

    def audit(self, step_s: float) -> dict[str, Any]:
        """Whether the times, `step_s` seconds per step, can be true; the last turn of all."""
        faults = self.auditor.faults(self.workload, self.data, self.cell.batch_size, step_s)
        return {"faults": faults}

    def certify(self, problem_file: str) -> dict[str, Any]:
        """Compare with the reference, in this cell's mode and precision; needs no other turn."""
        architecture = problem.small(ARCHITECTURES[self.cell.model])
        posed, solution = problem.load(Path(problem_file), architecture)
        module = self._module()
        build = partial(self._implementation, module, architecture)
        precision = self.cell.precision
        if self.cell.workload == "infer":  # by what cannot train
            checks = inference.checks(build, posed, solution, precision)
        else:
            optimizer = self.cell.optimizer or "adam"
            recipe = self.cell.recipe or "constant"
            checks = identity.checks(build, posed, solution, optimizer, recipe, precision)
        # JSON has neither nan nor infinity: null is an error that is no number
        return {
            "checks": [
                [check.name, check.error if math.isfinite(check.error) else None, check.limit]
                for check in checks
            ]
        }

    def _workload(self, pipeline: Iterator[Batch] | None) -> Train | Infer:
        cell = self.cell
        if cell.workload == "infer":
            return Infer(self.implementation, trained=cell.weights is not None)
        recipe = RECIPES[str(cell.recipe)]
        rates = recipe.learning_rates(cell.learning_rate or 0.0, cell.steps)
        if recipe.parts > 1 and not hasattr(self.implementation, "set_learning_rate"):
            raise NotImplementedError("the recipe needs a method set_learning_rate(rate)")
        data = self.data
        feed = augmented(data.train_images, data.train_labels, cell.batch_size, cell.seed)
        if pipeline:
            return fed.TrainFed(self.implementation, rates, pipeline, feed)
        return Train(self.implementation, rates, feed if recipe.augmented else None)

    def describe(self) -> dict[str, Any]:
        """Build the network, and tell the shapes of all its tensors; needs no other turn."""
        cell = self.cell
        architecture = ARCHITECTURES[cell.model]
        weights = initial_weights(architecture, cell.seed)
        built = self._implementation(
            self._module(),
            architecture,
            weights,
            cell.optimizer or "sgd",
            cell.learning_rate or 0.0,
        )
        return {"tensors": {str(name): value.shape for name, value in built.weights().items()}}

    def probe(self) -> dict[str, Any]:
        """The peak rates of this cell's device in its precision; needs no other turn."""
        return peak_probe.best(self.cell.device, self.cell.precision)

    def _module(self) -> ModuleType:
        try:
            return load_module(self.row.module)
        except Exception:  # which some frameworks raise on import where there is no GPU
            self._require_device()
            raise

    def _require_device(self) -> None:
        if self.cell.device == "cuda" and not memory.finds_cuda(self.cell.backend):
            raise ImportError(f"this {self.cell.backend} finds no CUDA device")

    def _implementation(
        self,
        module: ModuleType,
        architecture: Architecture,
        weights: Weights,
        optimizer: str,
        learning_rate: float,
    ) -> Implementation:
        self._require_device()
        built: Implementation = module.Implementation(
            architecture,
            weights,
            device=self.cell.device,
            precision=self.cell.precision,
            mode=self.cell.mode,
            optimizer=optimizer,
            learning_rate=learning_rate,
        )
        return built


def load_module(name: str) -> ModuleType:
    """Import an implementation: a dotted name, or the path of a Python file."""
    if not name.endswith(".py"):
        return importlib.import_module(name)
    path = Path(name)
    sys.path.append(str(path.parent))  # a file may import its neighbours
    # by its place and not by its name, which may be that of a module loaded long ago
    spec = importlib.util.spec_from_file_location(f"{path.stem} (a user's file)", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
