"""The networks are the published ones, and their description is consistent."""

import pytest

from resnet_impls.architecture import ARCHITECTURES, Architecture

every_architecture = pytest.mark.parametrize(
    "architecture", ARCHITECTURES.values(), ids=lambda architecture: architecture.name
)


@pytest.mark.parametrize(
    ("model", "published"),
    [
        ("resnet14", 195_738),
        ("resnet18", 11_689_512),
        ("resnet34", 21_797_672),
        ("resnet50", 25_557_032),
        ("resnet101", 44_549_160),
        ("resnet152", 60_192_808),
    ],
)
def test_parameter_count_is_the_published_one(model: str, published: int) -> None:
    assert ARCHITECTURES[model].parameter_count == published


@pytest.mark.parametrize(
    ("model", "published"), [("resnet14", 57.5e6), ("resnet18", 3.62e9), ("resnet50", 8.18e9)]
)
def test_forward_flops_are_twice_the_published_multiply_adds(model: str, published: float) -> None:
    assert ARCHITECTURES[model].forward_flops == pytest.approx(published, rel=0.01)


def test_training_flops_leave_out_the_gradient_of_the_images() -> None:
    architecture = ARCHITECTURES["resnet14"]
    stem = 2 * (3 * 3 * 3 * 16) * (32 * 32)
    assert architecture.training_flops == 3 * architecture.forward_flops - stem


@every_architecture
def test_depth_in_the_name_counts_the_layers_off_the_shortcuts(architecture: Architecture) -> None:
    residual = sum(len(block.residual) for block in architecture.blocks)
    name, _, classes = architecture.name.partition("-")
    assert name == f"resnet{1 + residual + 1}"
    assert int(classes or 10) == architecture.classes or not classes


@every_architecture
def test_layer_parameters_add_up_to_the_parameter_count(architecture: Architecture) -> None:
    total = sum(layer.parameters for layer in architecture.layers)
    assert total == architecture.parameter_count


@every_architecture
def test_names_are_unique(architecture: Architecture) -> None:
    tensors = [*architecture.parameters, *architecture.statistics]
    layers = [layer.name for layer in architecture.layers]
    assert len(set(tensors)) == len(tensors)
    assert len(set(layers)) == len(layers)


@every_architecture
def test_channels_chain_from_stem_to_head(architecture: Architecture) -> None:
    channels = architecture.stem.outputs
    for block in architecture.blocks:
        entry = channels
        for conv in block.residual:
            assert (conv.name, conv.inputs) == (conv.name, channels)
            channels = conv.outputs
        if block.shortcut:
            assert (block.shortcut.inputs, block.shortcut.outputs) == (entry, channels)
    assert architecture.parameters["head.kernel"] == (channels, architecture.classes)


@every_architecture
def test_both_branches_of_a_block_end_in_the_same_shape(architecture: Architecture) -> None:
    outputs = {layer.name: layer.output for layer in architecture.layers}
    shape = outputs[architecture.stem.name]
    if architecture.max_pool:
        shape = outputs["stem.pool"]
    for block in architecture.blocks:
        shape = outputs[block.shortcut.name] if block.shortcut else shape
        assert outputs[block.residual[-1].name] == shape
        assert outputs[f"{block.name}.relu"] == shape


@every_architecture
def test_a_shortcut_has_a_convolution_only_where_the_shape_changes(
    architecture: Architecture,
) -> None:
    for block in architecture.blocks:
        strides = [conv.stride for conv in block.residual]
        changes = max(strides) > 1 or block.residual[0].inputs != block.residual[-1].outputs
        assert (block.name, block.shortcut is not None) == (block.name, changes)


@pytest.mark.parametrize(
    ("model", "sizes"), [("resnet14", (32, 16, 8)), ("resnet50", (56, 28, 14, 7))]
)
def test_each_stage_halves_the_image_after_the_first(model: str, sizes: tuple[int, ...]) -> None:
    architecture = ARCHITECTURES[model]
    outputs = {layer.name: layer.output for layer in architecture.layers}
    ends = [outputs[f"{stage[-1].name}.relu"] for stage in architecture.stages]
    assert tuple(end[0] for end in ends) == sizes


def test_bottleneck_blocks_stride_in_their_middle_convolution() -> None:
    first, *_ = ARCHITECTURES["resnet50"].stages[1]
    assert [(conv.kernel, conv.stride) for conv in first.residual] == [(1, 1), (3, 2), (1, 1)]
