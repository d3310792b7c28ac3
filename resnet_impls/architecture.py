"""The ResNet family as data: every layer, tensor, shape and FLOP, in pure Python.

An implementation reads an `Architecture` and builds it in its framework. Nothing here
computes; this module is the one place where the shape of a network is written down.

Sources: He et al., "Deep Residual Learning for Image Recognition", arXiv:1512.03385
(the families for 32x32 and 224x224 images). Bottleneck blocks stride in their 3x3
convolution, as torchvision's do.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod

Shape = tuple[int, ...]

BATCH_NORM_EPSILON = 1e-5
BATCH_NORM_MOMENTUM = 0.1  # weight of the new batch in the running statistics


@dataclass(frozen=True)
class Conv:
    """A square convolution without bias, padded by `kernel // 2`, and the batch norm after it."""

    name: str
    kernel: int
    stride: int
    inputs: int
    outputs: int

    @property
    def padding(self) -> int:
        return self.kernel // 2

    @property
    def norm(self) -> str:
        """Name of the batch norm that follows: `conv1` is normalised by `bn1`."""
        path, _, leaf = self.name.rpartition(".")
        return f"{path}.{leaf.replace('conv', 'bn')}"


@dataclass(frozen=True)
class Block:
    """A residual block: `relu(residual(x) + shortcut(x))`, with a ReLU between convolutions."""

    name: str
    residual: tuple[Conv, ...]
    shortcut: Conv | None  # None: the identity


@dataclass(frozen=True)
class Layer:
    """One row of a layer-by-layer description; shapes are those of a single image."""

    name: str
    kind: str
    output: Shape  # (H, W, C) or (C,)
    parameters: int
    flops: int  # forward, one image; a multiply-add counts as two


@dataclass(frozen=True)
class Architecture:
    """A ResNet for `image_size` x `image_size` RGB images, from stem to logits."""

    name: str
    image_size: int
    classes: int
    stem: Conv
    max_pool: bool  # 3x3, stride 2, padding 1, after the stem
    stages: tuple[tuple[Block, ...], ...]

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks of all stages, in order; their names say the stage: `stage1.block1`."""
        return tuple(block for stage in self.stages for block in stage)

    @property
    def features(self) -> int:
        """Width of the pooled vector that enters the dense layer called `head`."""
        return self.blocks[-1].residual[-1].outputs

    @cached_property
    def convs(self) -> tuple[Conv, ...]:
        """Every convolution, in canonical order."""
        inner = (
            conv for block in self.blocks for conv in (*block.residual, block.shortcut) if conv
        )
        return (self.stem, *inner)

    @cached_property
    def parameters(self) -> dict[str, Shape]:
        """Trainable tensors by canonical name: kernels are HWIO, the dense kernel is (in, out)."""
        shapes: dict[str, Shape] = {}
        for conv in self.convs:
            shapes[f"{conv.name}.kernel"] = (conv.kernel, conv.kernel, conv.inputs, conv.outputs)
            shapes[f"{conv.norm}.scale"] = (conv.outputs,)
            shapes[f"{conv.norm}.bias"] = (conv.outputs,)
        shapes["head.kernel"] = (self.features, self.classes)
        shapes["head.bias"] = (self.classes,)
        return shapes

    @cached_property
    def statistics(self) -> dict[str, Shape]:
        """Running statistics of the batch norms by canonical name; not trainable."""
        return {
            f"{conv.norm}.{statistic}": (conv.outputs,)
            for conv in self.convs
            for statistic in ("mean", "variance")
        }

    @cached_property
    def parameter_count(self) -> int:
        """Number of trainable parameters."""
        return sum(prod(shape) for shape in self.parameters.values())

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """Every layer in order of execution, with output shape, parameters and FLOPs."""
        return tuple(self._layers())

    @cached_property
    def output_elements(self) -> int:
        """Elements that the convolutions and the dense layer write for one image."""
        return sum(prod(layer.output) for layer in self.layers if layer.flops)

    @cached_property
    def forward_flops(self) -> int:
        """FLOPs of one image's forward pass: convolutions and dense layer, two per multiply-add."""
        return sum(layer.flops for layer in self.layers)

    @cached_property
    def training_flops(self) -> int:
        """FLOPs of one image's training step: forward, and the gradients of weights and inputs.

        Both gradients cost as much as the forward pass; the images need none, so the
        stem's input gradient is not counted. The optimizer is not counted either.
        """
        stem = next(layer for layer in self.layers if layer.name == self.stem.name)
        return 3 * self.forward_flops - stem.flops

    def _layers(self) -> Iterator[Layer]:
        size = self.image_size

        def conv_and_norm(conv: Conv, size: int) -> tuple[int, list[Layer]]:
            size = (size + 2 * conv.padding - conv.kernel) // conv.stride + 1
            shape = (size, size, conv.outputs)
            weights = conv.kernel**2 * conv.inputs * conv.outputs
            return size, [
                Layer(conv.name, "conv", shape, weights, 2 * weights * size * size),
                Layer(conv.norm, "batch_norm", shape, 2 * conv.outputs, 0),
            ]

        size, rows = conv_and_norm(self.stem, size)
        yield from rows
        yield Layer("stem.relu", "relu", (size, size, self.stem.outputs), 0, 0)
        if self.max_pool:
            size = (size - 1) // 2 + 1
            yield Layer("stem.pool", "max_pool", (size, size, self.stem.outputs), 0, 0)
        for block in self.blocks:
            entry = size
            for index, conv in enumerate(block.residual, start=1):
                size, rows = conv_and_norm(conv, size)
                yield from rows
                if conv is not block.residual[-1]:
                    name = f"{block.name}.residual.relu{index}"
                    yield Layer(name, "relu", rows[0].output, 0, 0)
            output = rows[0].output
            if block.shortcut:
                yield from conv_and_norm(block.shortcut, entry)[1]
            yield Layer(f"{block.name}.add", "add", output, 0, 0)
            yield Layer(f"{block.name}.relu", "relu", output, 0, 0)
        yield Layer("pool", "global_average_pool", (self.features,), 0, 0)
        dense = self.features * self.classes
        yield Layer("head", "dense", (self.classes,), dense + self.classes, 2 * dense)


def _stages(
    depths: Shape, widths: Shape, *, bottleneck: bool, shortcut_kernel: int
) -> Iterator[tuple[Block, ...]]:
    inputs = widths[0]
    for stage, (depth, width) in enumerate(zip(depths, widths, strict=True), start=1):
        blocks = []
        for index in range(1, depth + 1):
            name = f"stage{stage}.block{index}"
            stride = 2 if stage > 1 and index == 1 else 1
            outputs = 4 * width if bottleneck else width
            # (kernel, stride, outputs) of each convolution of the residual branch
            plan = [(3, stride, width), (3, 1, outputs)]
            if bottleneck:
                plan = [(1, 1, width), (3, stride, width), (1, 1, outputs)]
            residual, channels = [], inputs
            for number, (kernel, step, width_out) in enumerate(plan, start=1):
                conv = Conv(f"{name}.residual.conv{number}", kernel, step, channels, width_out)
                residual.append(conv)
                channels = width_out
            shortcut = None
            if stride != 1 or inputs != outputs:
                shortcut = Conv(f"{name}.shortcut.conv", shortcut_kernel, stride, inputs, outputs)
            blocks.append(Block(name, tuple(residual), shortcut))
            inputs = outputs
        yield tuple(blocks)


def small(
    name: str, depth: int, *, shortcut_kernel: int = 1, image_size: int = 32, classes: int = 10
) -> Architecture:
    """The family for small images: three stages of `depth` basic blocks."""
    stages = _stages((depth,) * 3, (16, 32, 64), bottleneck=False, shortcut_kernel=shortcut_kernel)
    stem = Conv("stem.conv", 3, 1, 3, 16)
    return Architecture(name, image_size, classes, stem, False, tuple(stages))


def large(
    name: str, depths: Shape, *, bottleneck: bool, image_size: int = 224, classes: int = 1000
) -> Architecture:
    """The family for large images: four stages after a 7x7 stem and a max pool."""
    stages = _stages(depths, (64, 128, 256, 512), bottleneck=bottleneck, shortcut_kernel=1)
    stem = Conv("stem.conv", 7, 2, 3, 64)
    return Architecture(name, image_size, classes, stem, True, tuple(stages))


ARCHITECTURES: dict[str, Architecture] = {
    architecture.name: architecture
    for architecture in (
        small("resnet14", 2, shortcut_kernel=3),
        small("resnet20", 3),
        small("resnet32", 5),
        small("resnet44", 7),
        small("resnet56", 9),
        small("resnet110", 18),
        small("resnet14-100", 2, shortcut_kernel=3, classes=100),  # for CIFAR-100
        small("resnet20-100", 3, classes=100),
        small("resnet56-100", 9, classes=100),
        large("resnet18", (2, 2, 2, 2), bottleneck=False),
        large("resnet34", (3, 4, 6, 3), bottleneck=False),
        large("resnet50", (3, 4, 6, 3), bottleneck=True),
        large("resnet101", (3, 4, 23, 3), bottleneck=True),
        large("resnet152", (3, 8, 36, 3), bottleneck=True),
    )
}
