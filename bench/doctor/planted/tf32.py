"""Convolutions under the label fp32 whose inputs are rounded to TF32's 10 bits of mantissa.

Otherwise it is the reference itself, which shows that nothing else is at fault.
"""

from itertools import cycle, islice

import numpy as np

from resnet_impls import numpy_reference
from resnet_impls.numpy_reference import Reference


def tf32(x):
    """Rounded to nearest, ties to even, as NVIDIA's tensor cores round what they are given."""
    bits = np.asarray(x, np.float32).view(np.uint32)
    bits = (bits + np.uint32(0x0FFF) + ((bits >> 13) & 1)) & np.uint32(0xFFFFE000)
    return bits.view(np.float32).astype(np.float64)


class Implementation:
    def __init__(
        self, architecture, weights, *, device, precision, mode, optimizer, learning_rate
    ) -> None:
        if precision == "fp32":
            exact = numpy_reference.conv2d
            numpy_reference.conv2d = lambda x, kernel, stride: exact(tf32(x), tf32(kernel), stride)
        self.reference = Reference(
            architecture, weights, optimizer=optimizer, learning_rate=learning_rate
        )

    def place(self, images, labels):
        self.batches = cycle(list(zip(images, labels, strict=True)))

    def train(self, steps):
        return np.array(
            [self.reference.train_step(*batch) for batch in islice(self.batches, steps)]
        )

    def predict(self, images):
        return self.reference.predict(images)

    def infer(self, steps):
        return [self.reference.predict(x) for x, _ in islice(self.batches, steps)][-1]

    def weights(self):
        return {name: value.copy() for name, value in self.reference.weights.items()}
