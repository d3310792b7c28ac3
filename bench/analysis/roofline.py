"""Whether arithmetic or memory bounds a cell, by a model of its traffic and the machine's peaks.

The model takes a network at its best: each convolution and the dense layer write their output once
and it is read once, all that lies between is fused into them, the images are read once, and the
weights once per batch. A training step moves as much three times, as it computes three times as
much: forward, and the gradients of inputs and weights. A framework that moves more is bound by
memory sooner, never later.
"""

from dataclasses import dataclass

from bench.cells import TRAINING, Cell
from bench.records.run import Peak
from resnet_impls.architecture import ARCHITECTURES, Architecture

ELEMENT_BYTES = {"bf16": 2, "fp16": 2}  # all others: 4
PASSES = dict.fromkeys(TRAINING, 3) | {"infer": 1, "infer-streams": 1}


@dataclass(frozen=True)
class Roofline:
    """What a machine's peaks allow a cell."""

    intensity_flop_per_byte: float  # of the cell
    ridge_flop_per_byte: float  # of the machine: from here on arithmetic is what bounds
    ceiling_images_per_s: float

    @property
    def bound(self) -> str:
        """`compute` or `bandwidth`."""
        ahead = self.intensity_flop_per_byte >= self.ridge_flop_per_byte
        return "compute" if ahead else "bandwidth"


def roofline(cell: Cell, peak: Peak) -> Roofline | None:
    """The roofline of `cell` below the `peak` of its device; None for a model that is gone here."""
    if cell.model not in ARCHITECTURES:
        return None
    architecture = ARCHITECTURES[cell.model]
    training = cell.workload in TRAINING
    flop = architecture.training_flops if training else architecture.forward_flops
    intensity = flop / image_bytes(architecture, cell.workload, cell.precision, cell.batch_size)
    reached = roof_gflop_per_s(peak, intensity)
    return Roofline(intensity, ridge_flop_per_byte(peak), reached * 1e9 / flop)


def ridge_flop_per_byte(peak: Peak) -> float:
    """The intensity at which a machine copies and computes for equally long."""
    return peak.gflop_per_s / peak.copy_gb_per_s


def roof_gflop_per_s(peak: Peak, intensity_flop_per_byte: float) -> float:
    """The most GFLOP/s that a program of this intensity can reach."""
    return min(peak.gflop_per_s, intensity_flop_per_byte * peak.copy_gb_per_s)


def image_bytes(
    architecture: Architecture, workload: str, precision: str, batch_size: int
) -> float:
    """Bytes that the model above moves per image."""
    images = architecture.image_size**2 * 3
    elements = 2 * architecture.output_elements + images + architecture.parameter_count / batch_size
    return PASSES[workload] * elements * ELEMENT_BYTES.get(precision, 4)
