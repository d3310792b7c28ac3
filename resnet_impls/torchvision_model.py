"""torchvision's own ResNet, untouched: channels-last memory, fused optimizers, `torch.compile`."""

import re
from copy import copy
from itertools import cycle, islice
from typing import Self

import numpy as np
import torch
from torchvision import models

from resnet_impls.architecture import Architecture
from resnet_impls.torch_loops import LEAVES, Program, load, set_up, to_device, weights_of
from resnet_impls.weights import Weights

# Canonical name of a layer -> torchvision's
LAYERS = {
    "stem.conv": "conv1",
    "stem.bn": "bn1",
    "shortcut.conv": "downsample.0",
    "shortcut.bn": "downsample.1",
    "head": "fc",
}


def torch_name(name: str) -> str:
    """torchvision's name: `stage1.block2.residual.bn1.scale` is `layer1.1.bn1.weight` there."""
    path, _, leaf = name.rpartition(".")
    prefix = ""
    if inner := re.fullmatch(r"stage(\d+)\.block(\d+)\.(.+)", path):
        prefix = f"layer{inner[1]}.{int(inner[2]) - 1}."
        path = inner[3].removeprefix("residual.")
    return f"{prefix}{LAYERS.get(path, path)}.{LEAVES[leaf]}"


def ResNet(architecture: Architecture) -> models.ResNet:
    """Stem, stages, global average pool, dense head: (B, 3, H, W) -> logits (B, classes)."""
    supported = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
    if architecture.name not in supported:
        raise NotImplementedError(
            f"torchvision has {', '.join(supported)}, and no {architecture.name} of this family"
        )
    return models.get_model(architecture.name, weights=None, num_classes=architecture.classes)


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
