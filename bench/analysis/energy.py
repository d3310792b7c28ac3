"""Energy per image, from what was counted over the blocks."""

from bench.records import Record

SHORTEST_GPU_BLOCK_S = 0.5  # of what is counted there, up to a tenth is of what went before


def j_per_image(record: Record) -> float | None:
    """Energy of all timed blocks over their images, in J; None where nothing was counted.

    Nor is it known of a GPU's short blocks: its counter moves every tenth of a second, and so tells
    of the time before a block, half of that in the mean.
    """
    if not record.block_j or not all(record.block_j):
        return None
    if record.device != "cpu" and min(record.block_s) < SHORTEST_GPU_BLOCK_S:
        return None
    return sum(record.block_j) / (sum(record.block_steps) * record.cell.images_per_step)
