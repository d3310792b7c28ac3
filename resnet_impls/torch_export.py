"""The ResNet by `torch.export` and AOTInductor, its parameters frozen: inference only."""

import tempfile
from collections import OrderedDict
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._inductor import aoti_compile_and_package, aoti_load_package

from resnet_impls.architecture import BATCH_NORM_EPSILON, Architecture, Conv
from resnet_impls.architecture import Block as BlockPlan
from resnet_impls.torch_graphs import Graph
from resnet_impls.torch_loops import (
    autocast_to,
    load,
    set_up,
    settings_of,
    to_device,
    torch_name,
    weights_of,
)
from resnet_impls.weights import Weights


def conv_bn(conv: Conv) -> list[tuple[str, nn.Module]]:
    """A convolution and its batch norm, each with its own leaf name."""
    convolution = nn.Conv2d(
        conv.inputs, conv.outputs, conv.kernel, conv.stride, conv.padding, bias=False
    )
    norm = nn.BatchNorm2d(conv.outputs, eps=BATCH_NORM_EPSILON)
    return [(conv.name.rpartition(".")[2], convolution), (conv.norm.rpartition(".")[2], norm)]


class Block(nn.Module):
    """`relu(residual(x) + shortcut(x))`."""

    def __init__(self, block: BlockPlan) -> None:
        super().__init__()
        layers: list[tuple[str, nn.Module]] = []
        for index, conv in enumerate(block.residual, start=1):
            layers += conv_bn(conv)
            if conv is not block.residual[-1]:
                layers.append((f"relu{index}", nn.ReLU()))
        self.residual = nn.Sequential(OrderedDict(layers))
        self.shortcut = (
            nn.Sequential(OrderedDict(conv_bn(block.shortcut))) if block.shortcut else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C', H', W')
        return F.relu(self.residual(x) + self.shortcut(x))


class ResNet(nn.Sequential):
    """Stem, stages, global average pool, dense head: (B, 3, H, W) -> logits (B, classes)."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.stem = nn.Sequential(OrderedDict(conv_bn(architecture.stem)))
        self.relu = nn.ReLU()
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
    ) -> None:
        self.device, self.precision = set_up(device, precision), precision
        self.require_compiler()
        self.dtype = torch.float64 if precision == "fp64" else torch.float32
        self.autocast = autocast_to(precision, self.device)

        self.model = ResNet(architecture).eval()
        self.model.to(self.device, self.dtype, memory_format=torch.channels_last)
        self.names = {name: torch_name(name) for name in weights}
        load(self.model, weights, self.names)
        self.graphed = mode == "cuda-graph-compiled"
        self.networks: dict[int, Callable[[Tensor], Tensor]] = {}  # by batch size

    def place(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.batches = cycle([self.to_device(x) for x in images])

    def predict(self, images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            x = self.to_device(images)
            return self.network(x)(x).to(self.dtype).cpu().numpy()

    def infer(self, steps: int) -> np.ndarray:
        with torch.inference_mode():
            for x in islice(self.batches, steps):
                logits = self.network(x)(x)
        return logits.to(self.dtype).cpu().numpy()  # the copy waits for the device

    def weights(self) -> Weights:
        return weights_of(self.model, self.names)

    def program_mib(self) -> float | None:
        calls = self.networks.values()
        mib = [call.program_mib for call in calls if isinstance(call, Graph)]
        return max((each for each in mib if each), default=None)

    def settings(self) -> dict[str, str]:
        images = to_device(np.zeros((2, 32, 32, 3)), self.device, self.dtype)
        return settings_of(self.model, images, self.autocast) | {"jit": "aot_inductor"}

    def to_device(self, images: np.ndarray) -> Tensor:
        """(B, H, W, 3) on the host -> (B, 3, H, W) on the device, as the network takes it."""
        return to_device(images, self.device, self.dtype)

    def network(self, x: Tensor) -> Callable[[Tensor], Tensor]:
        """The network compiled for batches of the size of `x`, once."""
        if len(x) not in self.networks:
            compiled = self.compiled(x.clone())
            self.networks[len(x)] = Graph(compiled) if self.graphed else compiled
        return self.networks[len(x)]

    def require_compiler(self) -> None:
        """Raises ImportError where what `compiled` needs is not installed."""
        if self.device.type == "cuda":
            from torch.utils.cpp_extension import CUDA_HOME

            if CUDA_HOME is None:
                raise ImportError("AOTInductor needs the CUDA toolkit, which PyTorch has not")

    def compiled(self, x: Tensor) -> Callable[[Tensor], Tensor]:
        """The network compiled for batches like `x`."""
        with tempfile.TemporaryDirectory(prefix="resnet-bench-") as folder:
            with torch.no_grad(), self.autocast:
                program = torch.export.export(self.model, (x,))
                package = aoti_compile_and_package(
                    program,
                    package_path=str(Path(folder) / "resnet.pt2"),
                    # oneDNN, to whose layouts freezing brings kernels, knows no float64
                    inductor_configs={"freezing": self.dtype != torch.float64},
                )
            return aoti_load_package(package)
