"""The ResNet as a PyTorch `nn.Module`: channels-last memory, fused optimizers, `torch.compile`."""

from collections import OrderedDict
from copy import copy
from itertools import cycle, islice
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_impls.architecture import BATCH_NORM_EPSILON, BATCH_NORM_MOMENTUM, Architecture, Conv
from resnet_impls.architecture import Block as BlockPlan
from resnet_impls.torch_loops import Program, load, set_up, to_device, torch_name, weights_of
from resnet_impls.weights import Weights


def conv_bn(conv: Conv) -> list[tuple[str, nn.Module]]:
    """A convolution and its batch norm, each with its own leaf name."""
    convolution = nn.Conv2d(
        conv.inputs, conv.outputs, conv.kernel, conv.stride, conv.padding, bias=False
    )
    norm = nn.BatchNorm2d(conv.outputs, eps=BATCH_NORM_EPSILON, momentum=BATCH_NORM_MOMENTUM)
    return [(conv.name.rpartition(".")[2], convolution), (conv.norm.rpartition(".")[2], norm)]


class Block(nn.Module):
    """`relu(residual(x) + shortcut(x))`."""

    def __init__(self, block: BlockPlan) -> None:
        super().__init__()
        layers: list[tuple[str, nn.Module]] = []
        for index, conv in enumerate(block.residual, start=1):
            layers += conv_bn(conv)
            if conv is not block.residual[-1]:
                layers.append((f"relu{index}", nn.ReLU(inplace=True)))
        self.residual = nn.Sequential(OrderedDict(layers))
        self.shortcut = (
            nn.Sequential(OrderedDict(conv_bn(block.shortcut))) if block.shortcut else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C', H', W')
        y = self.residual(x)
        y += self.shortcut(x)
        return F.relu(y, inplace=True)


class ResNet(nn.Sequential):
    """Stem, stages, global average pool, dense head: (B, 3, H, W) -> logits (B, classes)."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.stem = nn.Sequential(OrderedDict(conv_bn(architecture.stem)))
        self.relu = nn.ReLU(inplace=True)
        if architecture.max_pool:
            self.max_pool = nn.MaxPool2d(3, 2, padding=1)
        for index, blocks in enumerate(architecture.stages, start=1):
            stage = OrderedDict((block.name.rpartition(".")[2], Block(block)) for block in blocks)
            self.add_module(f"stage{index}", nn.Sequential(stage))
        self.pool = nn.AdaptiveAvgPool2d(1)  # (B, C, 1, 1)
        self.flatten = nn.Flatten()  # (B, C)
        self.head = nn.Linear(architecture.features, architecture.classes)


class Implementation:
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
    ) -> None:
        self.device = set_up(device, precision)
        self.dtype = torch.float64 if precision == "fp64" else torch.float32

        self.model = ResNet(architecture)
        self.model.to(self.device, self.dtype, memory_format=torch.channels_last)
        self.names = {name: torch_name(name) for name in weights}
        load(self.model, weights, self.names)
        self.program = Program(
            *(self.model, self.device),
            precision=precision,
            mode=mode,
            optimizer=optimizer,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            label_smoothing=label_smoothing,
            learning_rates=learning_rates,
        )
        self.optimizer = self.program.optimizer

    def place(self, images: np.ndarray, labels: np.ndarray) -> None:
        targets = torch.from_numpy(labels).to(self.device, torch.int64)  # (K, B)
        pairs = zip(images, targets, strict=True)
        self.batches = cycle([(to_device(x, self.device, self.dtype), y) for x, y in pairs])

    def set_learning_rate(self, rate: float) -> None:
        self.program.set_learning_rate(rate)

    def train(self, steps: int) -> np.ndarray:
        return self.program.train(islice(self.batches, steps))

    def predict(self, images: np.ndarray) -> np.ndarray:
        return self.program.infer([to_device(images, self.device, self.dtype)])

    def infer(self, steps: int) -> np.ndarray:
        return self.program.infer(images for images, _ in islice(self.batches, steps))

    def streams(self, count: int) -> list[Self]:
        self.program.divide(count)
        return [copy(self) for _ in range(count)]

    def weights(self) -> Weights:
        return weights_of(self.model, self.names)

    def program_mib(self) -> float | None:
        return self.program.program_mib()

    def settings(self) -> dict[str, str]:
        images = to_device(np.zeros((2, 32, 32, 3)), self.device, self.dtype)
        return self.program.settings(images)
