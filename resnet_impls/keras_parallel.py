"""The ResNet by Keras' Functional API trained data-parallel: Keras' DataParallel, on JAX.

Keras' steps are jitted over batches that are sharded, so batch norms are of whole batches.
"""

from itertools import cycle
from typing import Any

import jax
import keras
import numpy as np
from keras import distribution

from resnet_impls import keras_functional
from resnet_impls.architecture import Architecture
from resnet_impls.jax_devices import devices_of
from resnet_impls.keras_loops import to_labels
from resnet_impls.weights import Weights


class Implementation(keras_functional.Implementation):
    def __init__(
        self,
        architecture: Architecture,
        weights: Weights,
        *,
        device: str,
        world_size: int,
        batch_norm: str,
        **options: Any,
    ) -> None:
        if batch_norm != "synchronised":
            raise NotImplementedError("Keras' DataParallel synchronises batch norms")
        devices = devices_of(device, world_size)
        self.parts = distribution.DataParallel(devices=devices, auto_shard_dataset=False)
        distribution.set_distribution(self.parts)  # of all that is built from here on
        super().__init__(architecture, weights, device=device, **options)

    def place(self, images: np.ndarray, labels: np.ndarray) -> None:
        floatx = keras.config.floatx()
        pairs = zip(images, labels, strict=True)
        batches = [(self.spread(x.astype(floatx)), self.spread_labels(y)) for x, y in pairs]
        self.batches = cycle(jax.block_until_ready(batches))

    def spread(self, array: Any) -> Any:
        """A part of an array's rows on each device."""
        return distribution.distribute_tensor(array, self.parts.get_data_layout(array.shape))

    def spread_labels(self, labels: np.ndarray) -> Any:
        return self.spread(to_labels(labels, self.classes))
