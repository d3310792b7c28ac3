"""A model layer by layer: as it is defined, and as each framework has built it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod

from bench.cells import Cell
from bench.executables import Executable
from bench.obstacles import obstacle
from bench.parent.child import Failure, one_worker
from bench.records.record import Status
from bench.worker.environment import Environment
from bench.worker.protocol import Describe
from resnet_impls.architecture import Architecture, Shape

TIMEOUT_S = 600.0  # for an import and a build, on the slowest machine


@dataclass(frozen=True, eq=False)
class Built:
    """A network as its framework built it: the shapes of its tensors, or why there is none."""

    executable: Executable
    tensors: Mapping[str, Shape] = field(default_factory=dict)
    status: Status = "ok"
    reason: str | None = None


@dataclass(frozen=True)
class Difference:
    """A tensor on which a network and its definition disagree; None where one has no such."""

    name: str
    defined: Shape | None
    built: Shape | None


def build(cells: Sequence[Cell]) -> Iterator[Built]:
    """Have a worker build the network of each cell; it is neither run nor trained."""
    for cell in cells:
        executable = replace(cell.executable, optimizer=cell.optimizer)
        if forbidden := obstacle(cell):
            yield Built(executable, status=forbidden[0], reason=forbidden[1])
            continue
        with one_worker(Environment.of(executable)) as child:
            try:
                answer = child.ask(Describe(executable=executable), TIMEOUT_S)
            except Failure as failure:
                yield Built(executable, status=failure.status, reason=failure.reason)
            else:
                yield Built(executable, answer.tensors)


def tensors(architecture: Architecture) -> dict[str, Shape]:
    """Every tensor of the definition, parameters and running statistics."""
    return architecture.parameters | architecture.statistics


def differences(architecture: Architecture, built: Mapping[str, Shape]) -> list[Difference]:
    """The tensors that `built` lacks, has in another shape, or has on its own, in this order."""
    defined = tensors(architecture)
    return [
        Difference(name, defined.get(name), built.get(name))
        for name in dict.fromkeys([*defined, *built])
        if defined.get(name) != built.get(name)
    ]


def layer(name: str) -> str:
    """`stem.conv` of `stem.conv.bias`; in a framework's own name a slash may stand for the dot."""
    return re.sub(r"[./][^./]*$", "", name)


def trainable(name: str) -> bool:
    """Whether a tensor is a parameter and not a running statistic."""
    return re.split(r"[./]", name)[-1] not in ("mean", "variance")


def parameter_counts(shapes: Mapping[str, Shape]) -> dict[str, int]:
    """Layer -> number of its trainable parameters."""
    counts = dict.fromkeys(map(layer, shapes), 0)
    for name, shape in shapes.items():
        counts[layer(name)] += trainable(name) * prod(shape)
    return counts


def totals(shapes: Mapping[str, Shape]) -> dict[str, int]:
    """Numbers in all trainable tensors, in all others, and in all."""
    parameters = sum(prod(shape) for name, shape in shapes.items() if trainable(name))
    every = sum(prod(shape) for shape in shapes.values())
    return {"trainable": parameters, "not trainable": every - parameters, "all": every}
