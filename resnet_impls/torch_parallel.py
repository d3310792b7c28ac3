"""The ResNet trained by PyTorch's DistributedDataParallel: a process for each part of a batch.

The process that calls is rank 0; `torch_ranks.py` starts the others, which follow its calls.
"""

import inspect
import os
from itertools import cycle, islice
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from resnet_impls import torch_module
from resnet_impls.architecture import Architecture
from resnet_impls.torch_loops import Program, find, load, set_up, to_device, torch_name, weights_of
from resnet_impls.torch_ranks import ranks
from resnet_impls.weights import Weights

# `broadcast_buffers` has another name from PyTorch 2.14 on
NEWER = "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
OWN_BUFFERS = {"forward_sync_buffers" if NEWER else "broadcast_buffers": False}


class SumOverRanks(torch.autograd.Function):
    """The sum of a tensor over all ranks, whose gradient is the sum of the ranks' gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return SumOverRanks.apply(gradient.contiguous())


class SyncBatchNorm(nn.BatchNorm2d):
    """Batch norm over the parts of all ranks, on CPUs: PyTorch's own is for GPUs alone.

    Mean and mean of squares are averaged over the ranks, one all-reduce there and one back, as in
    Detectron2's `NaiveSyncBatchNorm`.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or dist.get_world_size() == 1:
            return super().forward(x)
        values = x.to(self.weight.dtype)  # bfloat16 has too few digits for statistics
        variance, mean = torch.var_mean(values, (0, 2, 3), correction=0)  # (C,) of this rank's part
        moments = torch.cat([mean, variance + mean**2])
        mean, square = (SumOverRanks.apply(moments) / dist.get_world_size()).chunk(2)
        variance = square - mean**2
        with torch.no_grad():
            count = x.numel() // x.shape[1] * dist.get_world_size()
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        return torch.addcmul(shift[:, None, None], values, scale[:, None, None]).to(x.dtype)


def synchronised(model: nn.Module, device: torch.device) -> nn.Module:
    """The model with batch norms that are synchronised over the ranks; tensors are shared."""
    if device.type != "cpu":
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.__class__ = SyncBatchNorm
    return model


class Replica:
    """What each rank has: the network, and its part of each batch."""

    def __init__(
        self,
        architecture: Architecture,
        weights: Weights,
        *,
        device: str,
        precision: str,
        batch_norm: str,
        **options: Any,
    ) -> None:
        self.rank, self.world_size = dist.get_rank(), dist.get_world_size()
        self.device = set_up(device, precision)
        if device != "cpu":
            self.device = torch.device(self.device.type, int(os.environ["LOCAL_RANK"]))
        self.dtype = torch.float64 if precision == "fp64" else torch.float32
        self.alone: torch_module.Implementation | None = None
        self.like = (architecture, {"device": device, "precision": precision, **options})

        self.model = torch_module.ResNet(architecture)
        self.model.to(self.device, self.dtype, memory_format=torch.channels_last)
        self.names = {name: torch_name(name) for name in weights}
        load(self.model, weights, self.names)
        if batch_norm == "synchronised":
            self.model = synchronised(self.model, self.device)
        # Each rank keeps the running statistics of its own part, which `average_statistics`
        # averages where they are read; by default all would take rank 0's before each step.
        ranks = DistributedDataParallel(self.model, **OWN_BUFFERS)
        self.program = Program(ranks, self.device, precision=precision, **options)

    def place(self, shape: tuple[int, ...], batches: tuple[np.ndarray, np.ndarray] | None) -> None:
        """Receive this rank's part of batches (K, B, H, W, 3), which rank 0 has."""
        count, size = shape[0], shape[1] // self.world_size
        images = torch.empty(count, size, *shape[2:], dtype=self.dtype)
        targets = torch.empty(count, size, dtype=torch.int64)
        for part, whole in zip((images, targets), batches or (None, None), strict=True):
            scattered = None
            if whole is not None:
                whole = torch.from_numpy(whole).to(part.dtype)
                scattered = [each.contiguous() for each in whole.split(size, dim=1)]
            dist.scatter(part, scattered)
        pairs = zip(images.numpy(), targets.to(self.device), strict=True)
        self.batches = cycle([(to_device(x, self.device, self.dtype), y) for x, y in pairs])

    def train(self, steps: int) -> np.ndarray:
        """The losses of whole batches: the mean of those of the parts."""
        losses = torch.from_numpy(self.program.train(islice(self.batches, steps)))
        dist.all_reduce(losses)
        return (losses / self.world_size).numpy()

    def train_alone(self, steps: int) -> None:
        """The same steps with nothing to exchange, by a network of this rank's own."""
        if self.alone is None:
            architecture, options = self.like
            self.alone = torch_module.Implementation(architecture, self.weights(), **options)
            self.alone.batches = self.batches
        self.alone.train(steps)
        dist.barrier()

    def infer(self, steps: int) -> np.ndarray:
        """The logits of the last batch, of which each rank answers its part."""
        part = self.program.infer(images for images, _ in islice(self.batches, steps))
        parts: list[np.ndarray] = [part] * self.world_size
        dist.all_gather_object(parts, part)
        return np.concatenate(parts)

    def average_statistics(self) -> None:
        """Have all ranks hold the mean of their running statistics."""
        for statistics in self.model.buffers():
            if statistics.is_floating_point():
                dist.all_reduce(statistics)
                statistics /= self.world_size

    def weights(self) -> Weights:
        return weights_of(self.model, self.names)

    def set_learning_rate(self, rate: float) -> None:
        self.program.set_learning_rate(rate)


class Implementation:
    kind = Replica  # what each rank builds

    def __init__(
        self,
        architecture: Architecture,
        weights: Weights,
        *,
        device: str,
        precision: str,
        mode: str,
        optimizer: str,
        learning_rate: float,
        weight_decay: float = 0.0,
        label_smoothing: float = 0.0,
        learning_rates: np.ndarray | None = None,
        world_size: int,
        batch_norm: str,
    ) -> None:
        find(device)
        self.ranks = ranks(world_size, device)
        self.number = self.ranks.build(
            *(self.kind, architecture, weights),
            device=device,
            precision=precision,
            mode=mode,
            optimizer=optimizer,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            label_smoothing=label_smoothing,
            learning_rates=learning_rates,
            batch_norm=batch_norm,
        )
        self.replica = self.ranks.replicas[self.number]

    def call(self, method: str, *arguments: Any) -> Any:
        return self.ranks.call(self.number, method, *arguments)

    def place(self, images: np.ndarray, labels: np.ndarray) -> None:
        with self.ranks.explained():
            self.ranks.tell(self.number, "place", images.shape, None)
            self.replica.place(images.shape, (images, labels))

    def set_learning_rate(self, rate: float) -> None:
        self.call("set_learning_rate", rate)

    def train(self, steps: int) -> np.ndarray:
        return self.call("train", steps)

    def train_alone(self, steps: int) -> None:
        self.call("train_alone", steps)

    def predict(self, images: np.ndarray) -> np.ndarray:
        self.call("average_statistics")
        replica = self.replica
        return replica.program.infer([to_device(images, replica.device, replica.dtype)])

    def infer(self, steps: int) -> np.ndarray:
        self.call("average_statistics")
        return self.call("infer", steps)

    def weights(self) -> Weights:
        self.call("average_statistics")
        return self.replica.weights()

    def program_mib(self) -> float | None:
        return self.replica.program.program_mib()

    def settings(self) -> dict[str, str]:
        images = to_device(np.zeros((2, 32, 32, 3)), self.replica.device, self.replica.dtype)
        group, found = self.ranks.group, self.replica.program.settings(images)
        found["threads"] = str(torch.get_num_threads() * group.local)  # of all ranks of the node
        return found | ({"nodes": str(group.nodes)} if group.nodes > 1 else {})
