"""What a worker does about each request: the answer to it, or an exception.

Only what a measured cell needs is imported at once, since each of its processes waits for it.
"""

import math
from functools import partial
from pathlib import Path
from typing import assert_never

from bench import cache
from bench.executables import Executable
from bench.worker import implementations
from bench.worker.measured import MeasuredCell
from bench.worker.protocol import (
    Answer,
    AnyRequest,
    Audit,
    Block,
    Build,
    Certified,
    Certify,
    Describe,
    Described,
    Evaluate,
    Finish,
    Latency,
    ProbePeaks,
    WarmUp,
)
from resnet_impls.architecture import ARCHITECTURES
from resnet_impls.weights import initial_weights


class Worker:
    """Answers requests one after the other; what follows a `Build` is about its cell."""

    cell: MeasuredCell  # from the answer to Build on

    def answer(self, request: AnyRequest) -> Answer:
        """The answer to one request. Raises whatever the implementation raises."""
        match request:
            case Build():
                self.cell = MeasuredCell(request.cell, Path(request.data_folder))
                return self.cell.build()
            case WarmUp():
                return self.cell.warm_up(request.steps, request.least_s)
            case Block():
                return self.cell.block(request.steps)
            case Evaluate():
                return self.cell.evaluate()
            case Finish():
                return self.cell.finish(request.weights_file)
            case Latency():
                return self.cell.latency(request.steps)
            case Audit():
                return self.cell.audit(request.step_s)
            case Certify():
                return certify(request.executable, Path(request.problem_file))
            case Describe():
                return describe(request.executable)
            case ProbePeaks():
                from bench.worker import peak_probe

                return peak_probe.best(request.device, request.precision)
            case _:
                assert_never(request)


def certify(executable: Executable, problem_file: Path) -> Certified:
    """Compare an executable with the reference's solution, in its mode and precision."""
    from bench.identity import checks, inference, problem

    architecture = problem.small(ARCHITECTURES[executable.model])
    file = cache.open_entry(problem_file)
    if file is None:
        raise ValueError(f"{problem_file.name} was damaged since it was found to be whole")
    with file:
        posed, solution = problem.load(file, architecture)
    module = implementations.imported(executable)
    build = partial(implementations.built, executable, module, architecture)
    if executable.optimizer is None:  # it cannot train
        found = inference.checks(build, posed, solution, executable.precision)
    else:
        found = checks.checks(
            build,
            posed,
            solution,
            executable.training,
            executable.precision,
        )
    # JSON has neither nan nor infinity: None is an error that is no number
    return Certified(
        checks=tuple(
            (each.name, each.error if math.isfinite(each.error) else None, each.limit)
            for each in found
        )
    )


def describe(executable: Executable) -> Described:
    """Build a network, and tell the shapes of all its tensors."""
    architecture = ARCHITECTURES[executable.model]
    network = implementations.built(
        executable,
        implementations.imported(executable),
        architecture,
        initial_weights(architecture, 0),
        executable.optimizer or "sgd",
        0.0,
    )
    shapes = {name: value.shape for name, value in network.weights().items()}
    return Described(tensors={str(n): tuple(map(int, shape)) for n, shape in shapes.items()})
