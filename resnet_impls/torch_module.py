"""The ResNet as a PyTorch `nn.Module`: channels-last memory, fused optimizers, `torch.compile`."""

from collections import OrderedDict
from itertools import cycle, islice

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_impls.architecture import BATCH_NORM_EPSILON, BATCH_NORM_MOMENTUM, Architecture, Conv
from resnet_impls.architecture import Block as BlockPlan
from resnet_impls.weights import Weights

# Canonical leaf name -> PyTorch's. Kernels are HWIO here and OIHW there, the dense one (in, out)
# here and (out, in) there.
LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "variance": "running_var",
}
TO_TORCH = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
FROM_TORCH = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}
LOSS_SCALE = 2.0**10  # of fp16


def torch_name(name: str) -> str:
    """PyTorch's name of a tensor: `stem.conv.kernel` is `stem.conv.weight` there."""
    path, _, leaf = name.rpartition(".")
    return f"{path}.{LEAVES[leaf]}"


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
    ) -> None:
        if device == "cuda" and not torch.cuda.is_available():
            raise ImportError("this PyTorch finds no CUDA device")
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        self.device = torch.device(device)
        self.dtype = torch.float64 if precision == "fp64" else torch.float32
        half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
        self.autocast = torch.autocast(device, half, enabled=half is not None)
        # from a scale that skips no step, and that never grows
        self.scaler = torch.GradScaler(
            device, LOSS_SCALE, growth_interval=10**6, enabled=precision == "fp16"
        )

        self.model = ResNet(architecture)
        self.model.to(self.device, self.dtype, memory_format=torch.channels_last)
        state = self.model.state_dict()
        for name, value in weights.items():
            state[torch_name(name)].copy_(torch.from_numpy(value.transpose(TO_TORCH[value.ndim])))
        self.names = {torch_name(name): name for name in weights}
        option = None if mode == "compiled" else mode  # the others replay CUDA graphs
        self.network = self.model if mode == "eager" else torch.compile(self.model, mode=option)

        parameters = self.model.parameters()
        self.optimizer: torch.optim.Optimizer
        if optimizer == "adam":
            self.optimizer = torch.optim.Adam(parameters, learning_rate, eps=1e-8, fused=True)
        else:
            self.optimizer = torch.optim.SGD(parameters, learning_rate, momentum=0.9, fused=True)

    def place(self, images: np.ndarray, labels: np.ndarray) -> None:
        targets = torch.from_numpy(labels).to(self.device, torch.int64)  # (K, B)
        pairs = zip(images, targets, strict=True)
        self.batches = cycle([(self.to_device(x), y) for x, y in pairs])

    def set_learning_rate(self, rate: float) -> None:
        self.optimizer.param_groups[0]["lr"] = rate

    def train(self, steps: int) -> np.ndarray:
        self.model.train()
        losses = []
        for images, labels in islice(self.batches, steps):
            self.optimizer.zero_grad()
            with self.autocast:
                loss = F.cross_entropy(self.network(images), labels)
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            losses.append(loss.detach())
        return torch.stack(losses).cpu().numpy()  # the copy waits for the device

    def predict(self, images: np.ndarray) -> np.ndarray:
        self.model.eval()
        with torch.inference_mode(), self.autocast:
            return self.network(self.to_device(images)).to(self.dtype).cpu().numpy()

    def infer(self, steps: int) -> np.ndarray:
        self.model.eval()
        with torch.inference_mode(), self.autocast:
            for images, _ in islice(self.batches, steps):
                logits = self.network(images)
        return logits.to(self.dtype).cpu().numpy()  # the copy waits for the device

    def weights(self) -> Weights:
        state = self.model.state_dict()
        tensors = {
            self.names.get(name, name): tensor.cpu().numpy()
            for name, tensor in state.items()
            if not name.endswith("num_batches_tracked")
        }
        return {name: x.transpose(FROM_TORCH[x.ndim]).copy() for name, x in tensors.items()}

    def settings(self) -> dict[str, str]:
        images = self.to_device(np.zeros((2, 32, 32, 3), np.float32))
        kernel = self.model.stem.conv.weight
        last = [x.is_contiguous(memory_format=torch.channels_last) for x in (images, kernel)]
        self.model.eval()
        with torch.inference_mode(), self.autocast:
            computed = self.model.stem(images).dtype
        fused = " fused" if self.optimizer.defaults["fused"] else ""
        found: dict[str, str] = {}
        if self.scaler.is_enabled():  # each halving of the scale is a step left out
            found["skipped_steps"] = f"{np.log2(LOSS_SCALE / self.scaler.get_scale()):.0f}"
        return found | {
            "layout": f"channels_{'last' if last[0] else 'first'}/{'OHWI' if last[1] else 'OIHW'}",
            "parameters": str(kernel.dtype).removeprefix("torch."),
            "computation": str(computed).removeprefix("torch."),
            "jit": "none" if self.network is self.model else "inductor",
            "optimizer": type(self.optimizer).__name__ + fused,
        }

    def to_device(self, images: np.ndarray) -> Tensor:
        """(B, H, W, 3) on the host -> (B, 3, H, W) on the device, still channels last in memory."""
        # a copy, since NumPy's memory is not aligned as PyTorch's own kernels like it
        tensor = torch.from_numpy(images).to(self.device, self.dtype, copy=True)
        return tensor.permute(0, 3, 1, 2)
