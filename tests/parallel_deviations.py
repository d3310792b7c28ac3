"""Ranks that deviate from data-parallel training, each in one way that is easy to miss.

`python tests/parallel_deviations.py synchronised Replica OthersBatch` certifies some of them, or
the sound one, with two ranks, and prints as JSON which checks each fails. It is a process of its
own, since that is rank 0 from then on.
"""

import json
import sys
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch.distributed as dist

from resnet_impls.torch_parallel import Implementation, Replica


class SummedGradients(Replica):
    """The ranks' gradients summed up where their mean belongs."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.program.optimizer.register_step_pre_hook(self.multiply)

    def multiply(self, *_: Any) -> None:
        for parameter in self.model.parameters():
            parameter.grad *= self.world_size


class OthersBatch(Replica):
    """Every rank is fed the part of rank 0."""

    def place(self, shape: tuple[int, ...], batches: Any) -> None:
        super().place(shape, batches)
        own = list(islice(self.batches, shape[0]))
        for each in (tensor for batch in own for tensor in batch):
            fed = each.contiguous()
            dist.broadcast(fed, 0)
            each.copy_(fed)
        self.batches = cycle(own)


class Unsynchronised(Replica):
    """Statistics of each rank's own part under the name of synchronised ones, or the reverse."""

    def __init__(self, *arguments: Any, batch_norm: str, **options: Any) -> None:
        other = "per-replica" if batch_norm == "synchronised" else "synchronised"
        super().__init__(*arguments, batch_norm=other, **options)


class UnsharedGradients(Replica):
    """Each rank takes its own step, and nobody notices, since rank 0 learns."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.program.model.require_backward_grad_sync = False  # as within DDP's `no_sync`


class FirstStatistics(Replica):
    """Running statistics of rank 0's part, as DDP hands them out by default."""

    def average_statistics(self) -> None:
        pass


def main(batch_norm: str, *kinds: str) -> None:
    from bench.executables import Training
    from bench.identity import checks, problem
    from networks import TINY

    training = Training("sgd", shards=None if batch_norm == "synchronised" else 2)
    posed, found = problem.pose(TINY, ranks=2), {}
    solution = problem.solve(posed, training)
    for name in kinds:
        contender = type(name, (Implementation,), {"kind": globals()[name]})

        def build(weights, optimizer, learning_rate, contender=contender, **options):
            return contender(
                TINY,
                weights,
                device="cpu",
                precision="fp64",
                mode="eager",
                optimizer=optimizer,
                learning_rate=learning_rate,
                world_size=2,
                batch_norm=batch_norm,
                **options,
            )

        checked = checks.checks(build, posed, solution, training, "fp64")
        found[name] = [check.name for check in checked if not check.passed]
    print(json.dumps(found))


if __name__ == "__main__":
    # so that ranks find the classes, which they are told by their module
    sys.path.insert(0, str(Path(__file__).parent))
    import parallel_deviations

    parallel_deviations.main(*sys.argv[1:])
