"""Networks small enough to be certified within a second or two."""

from resnet_impls.architecture import Architecture, Block, Conv

TINY = Architecture(
    name="tiny",
    image_size=12,
    classes=5,
    stem=Conv("stem.conv", 3, 1, 3, 4),
    max_pool=False,
    stages=(
        (
            Block(
                "stage1.block1",
                (
                    Conv("stage1.block1.residual.conv1", 3, 1, 4, 4),
                    Conv("stage1.block1.residual.conv2", 3, 1, 4, 4),
                ),
                None,
            ),
        ),
        (
            Block(
                "stage2.block1",
                (
                    Conv("stage2.block1.residual.conv1", 3, 2, 4, 8),
                    Conv("stage2.block1.residual.conv2", 3, 1, 8, 8),
                ),
                Conv("stage2.block1.shortcut.conv", 3, 2, 4, 8),
            ),
        ),
    ),
)

# All that the family has: a large stem, a max pool, basic blocks and a bottleneck, shortcuts that
# are the identity, 3x3 and 1x1
MIXED = Architecture(
    name="mixed",
    image_size=32,
    classes=5,
    stem=Conv("stem.conv", 7, 2, 3, 4),
    max_pool=True,
    stages=(
        TINY.stages[0],
        TINY.stages[1],
        (
            Block(
                "stage3.block1",
                (
                    Conv("stage3.block1.residual.conv1", 1, 1, 8, 4),
                    Conv("stage3.block1.residual.conv2", 3, 2, 4, 4),
                    Conv("stage3.block1.residual.conv3", 1, 1, 4, 16),
                ),
                Conv("stage3.block1.shortcut.conv", 1, 2, 8, 16),
            ),
        ),
    ),
)
