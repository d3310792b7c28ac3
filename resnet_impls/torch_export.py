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


def torch_name(name: str) -> str:
    """PyTorch's name of a tensor: `stem.conv.kernel` is `stem.conv.weight` there."""
    path, _, leaf = name.rpartition(".")
    return f"{path}.{LEAVES[leaf]}"


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
        if device == "cuda" and not torch.cuda.is_available():
            raise ImportError("this PyTorch finds no CUDA device")
        if device == "cuda":
            from torch.utils.cpp_extension import CUDA_HOME

            if CUDA_HOME is None:
                raise ImportError("AOTInductor needs the CUDA toolkit, which PyTorch has not")
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        self.device = torch.device(device)
        self.dtype = torch.float64 if precision == "fp64" else torch.float32
        half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
        self.autocast = torch.autocast(device, half, enabled=half is not None)

        self.model = ResNet(architecture).eval()
        self.model.to(self.device, self.dtype, memory_format=torch.channels_last)
        state = self.model.state_dict()
        for name, value in weights.items():
            state[torch_name(name)].copy_(torch.from_numpy(value.transpose(TO_TORCH[value.ndim])))
        self.names = {torch_name(name): name for name in weights}
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
        with torch.inference_mode(), self.autocast:
            computed = self.model.stem(images).dtype
        return {
            "layout": f"channels_{'last' if last[0] else 'first'}/{'OHWI' if last[1] else 'OIHW'}",
            "parameters": str(kernel.dtype).removeprefix("torch."),
            "computation": str(computed).removeprefix("torch."),
            "jit": "aot_inductor",
        }

    def network(self, x: Tensor) -> Callable[[Tensor], Tensor]:
        """The network compiled for batches of the size of `x`, once."""
        if len(x) not in self.networks:
            with tempfile.TemporaryDirectory(prefix="resnet-bench-") as folder:
                with torch.no_grad(), self.autocast:
                    program = torch.export.export(self.model, (x.clone(),))
                    package = aoti_compile_and_package(
                        program,
                        package_path=str(Path(folder) / "resnet.pt2"),
                        # oneDNN, to whose layouts freezing brings kernels, knows no float64
                        inductor_configs={"freezing": self.dtype != torch.float64},
                    )
                self.networks[len(x)] = aoti_load_package(package)
        return self.networks[len(x)]

    def to_device(self, images: np.ndarray) -> Tensor:
        """(B, H, W, 3) on the host -> (B, 3, H, W) on the device, still channels last in memory."""
        # a copy, since NumPy's memory is not aligned as PyTorch's own kernels like it
        tensor = torch.from_numpy(images).to(self.device, self.dtype, copy=True)
        return tensor.permute(0, 3, 1, 2)
