"""Opt-in: the article's PyTorch model, as a learner writes it, with PyTorch's own defaults.

Its counterpart is `article_keras`, which the article takes for the same network.
"""

from collections import OrderedDict
from contextlib import nullcontext
from itertools import cycle, islice

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_impls.architecture import Architecture, Conv
from resnet_impls.architecture import Block as BlockPlan
from resnet_impls.torch_loops import find, load, settings_of, torch_name, weights_of
from resnet_impls.weights import Weights


def conv3x3(conv: Conv) -> nn.Conv2d:
    """A 3x3 convolution, as in the article, in its shortcuts too."""
    return nn.Conv2d(
        conv.inputs, conv.outputs, kernel_size=3, stride=conv.stride, padding=1, bias=False
    )


class ConvNorm(nn.Module):
    """`bn(conv(x))`."""

    def __init__(self, conv: Conv) -> None:
        super().__init__()
        self.conv = conv3x3(conv)
        self.bn = nn.BatchNorm2d(conv.outputs)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C', H', W')
        return self.bn(self.conv(x))


class Residual(nn.Module):
    """The two convolutions of a block."""

    def __init__(self, conv1: Conv, conv2: Conv) -> None:
        super().__init__()
        self.conv1 = conv3x3(conv1)
        self.bn1 = nn.BatchNorm2d(conv1.outputs)
        self.conv2 = conv3x3(conv2)
        self.bn2 = nn.BatchNorm2d(conv2.outputs)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C', H', W')
        x = F.relu(self.bn1(self.conv1(x)))
        return self.bn2(self.conv2(x))


class Block(nn.Module):
    """`relu(residual(x) + shortcut(x))`."""

    def __init__(self, block: BlockPlan) -> None:
        super().__init__()
        self.residual = Residual(*block.residual)
        self.shortcut = ConvNorm(block.shortcut) if block.shortcut else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C', H', W')
        return F.relu(self.residual(x) + self.shortcut(x))


class ResNet(nn.Sequential):
    """Stem, stages, global average pool, dense head: (B, 3, H, W) -> logits (B, classes)."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.stem = ConvNorm(architecture.stem)
        self.relu = nn.ReLU()
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
    ) -> None:
        self.device = find(device)
        self.dtype = torch.float64 if precision == "fp64" else torch.float32

        self.model = ResNet(architecture).to(self.device, self.dtype)
        self.names = {name: torch_name(name) for name in weights}
        load(self.model, weights, self.names)

        parameters = self.model.parameters()
        self.optimizer: torch.optim.Optimizer
        if optimizer == "adam":
            self.optimizer = torch.optim.Adam(parameters, learning_rate)
        else:
            self.optimizer = torch.optim.SGD(parameters, learning_rate, momentum=0.9)

    def set_learning_rate(self, rate: float) -> None:
        self.optimizer.param_groups[0]["lr"] = rate

    def place(self, images: np.ndarray, labels: np.ndarray) -> None:
        targets = torch.from_numpy(labels).to(self.device, torch.int64)  # (K, B)
        pairs = zip(images, targets, strict=True)
        self.batches = cycle([(self.to_device(x), y) for x, y in pairs])

    def train(self, steps: int) -> np.ndarray:
        self.model.train()
        losses = []
        for images, labels in islice(self.batches, steps):
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.model(images), labels)
            loss.backward()
            self.optimizer.step()
            losses.append(loss.detach())
        return torch.stack(losses).cpu().numpy()  # the copy waits for the device

    def predict(self, images: np.ndarray) -> np.ndarray:
        self.model.eval()
        with torch.no_grad():
            return self.model(self.to_device(images)).cpu().numpy()

    def infer(self, steps: int) -> np.ndarray:
        self.model.eval()
        with torch.no_grad():
            for images, _ in islice(self.batches, steps):
                logits = self.model(images)
        return logits.cpu().numpy()  # the copy waits for the device

    def weights(self) -> Weights:
        return weights_of(self.model, self.names)

    def settings(self) -> dict[str, str]:
        images = self.to_device(np.zeros((2, 32, 32, 3)))
        return settings_of(self.model, images, nullcontext(), self.optimizer)

    def to_device(self, images: np.ndarray) -> Tensor:
        """(B, H, W, 3) on the host -> (B, 3, H, W) on the device, and so in memory too."""
        tensor = torch.from_numpy(images).to(self.device, self.dtype, copy=True)
        return tensor.permute(0, 3, 1, 2).contiguous()
