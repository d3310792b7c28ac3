"""A cell in its own process: built, warmed up, run block by block, and audited."""

import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import perf_counter

import numpy as np
import psutil

from bench.cells import TRAINING, Cell
from bench.data import recipes
from bench.data.augmentation import Batch, augmented
from bench.data.sharing import open_folder
from bench.executables import Training, backend
from bench.machine.devices import ACCELERATORS
from bench.machine.state import own_cpu_s
from bench.obstacles import installed
from bench.worker import communication, device_context, fed, implementations, memory, settings
from bench.worker.audit import Audit
from bench.worker.protocol import (
    Audited,
    BlockTimed,
    Built,
    Evaluated,
    Finished,
    StepsTimed,
    WarmedUp,
)
from bench.worker.workloads import Infer, InferStreams, Train, accuracy
from resnet_impls import contract
from resnet_impls.architecture import ARCHITECTURES
from resnet_impls.weights import fingerprint, initial_weights, load, save

COMPILING = 10  # steps: what is compiled for several at once is so by then


class MeasuredCell:
    """One method for each request about a cell, in the order in which they come."""

    def __init__(self, cell: Cell, data_folder: Path) -> None:
        self.cell = cell
        self.data = open_folder(data_folder)

    def build(self) -> Built:
        """Import the framework, build the network and place the batches on the device."""
        cell = self.cell
        architecture = ARCHITECTURES[cell.model]
        if cell.weights:
            weights = load(Path(cell.weights), architecture)
        else:
            weights = initial_weights(architecture, cell.seed)
        batches: dict[str, np.ndarray] = {}
        if not cell.input:
            images, labels = self.data.batches(cell.batch_size, cell.steps, cell.seed)
            batches = {"images": images, "labels": labels}  # (K, B, H, W, 3) and (K, B)

        start = perf_counter()
        module = implementations.imported(cell)
        imported = perf_counter()
        pipeline = fed.start(cell, self.data)  # it may fork: before the framework begins threads
        self.training = cell.training or Training("sgd")  # which then takes no step
        rate = cell.learning_rate or 0.0
        steps = cell.steps if cell.training else 1
        self.rates = recipes.learning_rates(self.training, rate, steps)
        self.implementation = implementations.built(
            *(cell, module, architecture, weights),
            self.training.optimizer,
            rate,
            **recipes.options(self.training, self.rates),
        )
        if batches and not cell.streams:  # each stream places its own
            self.implementation.place(**batches)
        self.workload = self._workload(pipeline, batches)
        built = perf_counter()
        started = psutil.Process().children(recursive=True)
        self.ranks = started if cell.world_size else []
        self.helpers = started if pipeline or cell.world_size else []

        self.context = device_context.of(cell.device)
        self.audited = Audit(architecture, weights)
        training = cell.workload in TRAINING
        flops = architecture.training_flops if training else architecture.forward_flops
        packages = (*backend(cell).packages, "numpy")
        return Built(
            import_s=imported - start,
            build_s=built - imported,
            host_baseline_mib=memory.host_mib(self.ranks),
            gflop_per_image=flops / 1e9,
            weights_sha256=fingerprint(weights),
            data_sha256=fingerprint(batches) if batches else None,
            drawn_seed=cell.seed,
            versions={"python": platform.python_version()}
            | {name: installed(name) or "unknown" for name in packages},
        )

    def _workload(
        self, pipeline: Iterator[Batch] | None, batches: Mapping[str, np.ndarray]
    ) -> Train | Infer:
        cell, data, trained = self.cell, self.data, self.cell.weights is not None
        if cell.streams:
            return InferStreams(self.implementation, trained, cell.streams, **batches)
        if cell.workload == "infer":
            return Infer(self.implementation, trained)
        recipe, rates = recipes.RECIPES[self.training.recipe], self.rates
        if self.training.schedule:  # the implementation has it, from when it was built
            rates = np.full(cell.steps, rates[0])
        elif recipe.parts > 1 and not hasattr(self.implementation, "set_learning_rate"):
            raise NotImplementedError("the recipe needs a method set_learning_rate(rate)")
        feed = augmented(data.train_images, data.train_labels, cell.batch_size, cell.seed)
        if pipeline:
            return fed.TrainFed(self.implementation, rates, pipeline, feed)
        return Train(self.implementation, rates, feed if recipe.augmented else None)

    def warm_up(self, steps: int, least_s: float = 0.0) -> WarmedUp:
        """The first step, where frameworks compile, and `steps` more; each is timed apart.

        Inference goes on for `least_s` or longer; training would learn from it.
        """
        self.workload.prepare(1 + steps)
        start = perf_counter()
        self.workload.run(1)
        first = perf_counter()
        if ahead := COMPILING if steps >= 2 * COMPILING else 0:
            self.workload.run(ahead)
        done, more, was_long, step_s = ahead, steps - ahead, False, None
        while more:
            began = perf_counter()
            self.workload.run(more)
            stretch_s = perf_counter() - began
            done, step_s = done + more, stretch_s / more
            is_long = stretch_s >= least_s / 2
            if is_long and (was_long or not least_s):  # twice, since it may have compiled
                break
            was_long, more = is_long, more if is_long else 2 * more
        warm = perf_counter()
        if self.cell.device in ACCELERATORS:
            memory.forget_device_peak(self.cell.backend, self.cell.mode)
        effective = settings.read(self.cell, self.workload.callers[0])
        if self.cell.target_accuracy is not None:
            self.evaluate()  # the first may compile
        self.audited.warm()  # last, since reading the settings may have compiled something
        return WarmedUp(
            first_step_s=first - start,
            warmup_s=warm - first if done else None,
            warmup_steps=done,
            step_s=step_s,
            host_mib=memory.host_mib(self.ranks),
            settings=effective,
        )

    def block(self, steps: int) -> BlockTimed:
        """Run `steps` steps; the clock is read at both ends, when the device is idle."""
        cpu_s = own_cpu_s(self.helpers)
        self.workload.prepare(steps)
        start = perf_counter()
        self.workload.run(steps)
        block_s = perf_counter() - start
        left_s = device_context.left_s(self.context) if self.context else None
        if left_s is not None:
            self.audited.block(block_s, left_s)
        on_gpu = self.cell.device in ACCELERATORS
        wait_s, place_s = self.workload.spent_s()
        return BlockTimed(
            block_s=block_s,
            cpu_s=max(0.0, own_cpu_s(self.helpers) - cpu_s),
            host_mib=memory.host_mib(self.ranks),
            device_mib=memory.device_mib(self.cell.backend) if on_gpu else None,
            wait_s=wait_s,
            place_s=place_s,
            left_s=left_s,
        )

    def evaluate(self) -> Evaluated:
        """The accuracy of the present state, and the seconds that it takes to find out."""
        start = perf_counter()
        found = accuracy(self.implementation, self.data, self.cell.batch_size)
        return Evaluated(accuracy=found, evaluation_s=perf_counter() - start)

    def finish(self, weights_file: str | None) -> Finished:
        """Peak memory of what was timed, then what the workload led to, its weights in a file."""
        host_peak_mib = memory.host_peak_mib(self.ranks)
        compilations = self.audited.compilations.count
        used_mib = reserved_mib = None
        if self.cell.device in ACCELERATORS:
            used_mib, reserved_mib = memory.device_peak_mib(self.cell.backend)
        outcome = self.workload.outcome(self.data, self.cell.batch_size)
        if weights_file:
            save(Path(weights_file), self.implementation.weights())
        return Finished(
            host_peak_mib=host_peak_mib,
            device_peak_mib=used_mib,
            device_reserved_mib=reserved_mib,
            device_program_mib=contract.program_mib(self.implementation),
            compilations_while_timed=compilations,
            losses=outcome.losses,
            final_loss=outcome.losses[-1] if outcome.losses else None,
            test_accuracy=outcome.test_accuracy,
            data_sha256=outcome.data_sha256,
        )

    def latency(self, steps: int) -> StepsTimed:
        """Time `steps` single steps; of streams each request."""
        self.workload.run(1)  # no sample: it finds the caches as other workers left them
        return StepsTimed(latency_ms=tuple(self.workload.latencies_ms(steps)))

    def audit(self, step_s: float) -> Audited:
        """Whether the times, `step_s` seconds per step, can be true; the last request of all."""
        faults = self.audited.faults(self.workload, self.data, self.cell.batch_size, step_s)
        share = None
        if (self.cell.world_size or 1) > 1:
            share = communication.share(self.implementation, step_s)
        return Audited(faults=tuple(faults), communication_share=share)
