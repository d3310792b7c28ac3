"""The loops of Keras' `fit` and `predict`, over batches that lie on the device.

Both take one of Keras' own steps after the other, and fetch what these put out at the end. So no
step waits for the one before, as those of `train_on_batch` and `predict_on_batch` do: they fetch
each loss and each output, and on JAX assign every variable anew. `fit` and `predict` themselves
lead what they are given through the host's memory.
"""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

Tensor = Any  # of the backend
State = tuple[list[Tensor], ...]

STATELESS = keras.backend.backend() == "jax"  # its steps map the variables' values to new ones


def fit(model: keras.Model, batches: Iterable[tuple[Tensor, Tensor]]) -> np.ndarray:
    """An optimizer step for each batch of images and labels -> their losses (steps,)."""
    batches, losses = iter(batches), []
    if model.train_function is None:  # builds what is missing, the optimizer's slots among it
        losses.append(model.train_on_batch(*next(batches)))
    kinds = [model.trainable_variables, model.non_trainable_variables, model.optimizer.variables]
    state = values(kinds)
    for images, labels in batches:
        model.reset_metrics()  # else its loss would be the mean of all steps
        data = [(images, labels, None)]  # no image has a weight of its own
        if STATELESS:
            metrics = values([model.metrics_variables])
            logs, (*state, _) = model.train_function((*state, *metrics), iter(data))
        else:
            logs = model.train_function(data)
        losses.append(logs["loss"])
    assign(kinds, state)
    return np.array([ops.convert_to_numpy(loss) for loss in losses])


def predict(model: keras.Model, batches: Iterable[Tensor]) -> np.ndarray:
    """A pass in evaluation mode for each batch of images -> what the last put out (B, classes)."""
    model.make_predict_function()
    kinds = [model.trainable_variables, model.non_trainable_variables]
    state = values(kinds)
    for images in batches:
        if STATELESS:
            outputs, state = model.predict_function(state, iter([(images,)]))
        else:
            outputs = model.predict_function([(images,)])
    assign(kinds, state)
    return ops.convert_to_numpy(outputs)


def values(kinds: list[list[keras.Variable]]) -> State:
    """What JAX's steps are given for the variables; each reuses the memory of what it was given."""
    return tuple([variable.value for variable in kind] for kind in kinds if STATELESS)


def assign(kinds: list[list[keras.Variable]], state: State) -> None:
    """Put what JAX's steps led to into the variables; other backends' steps did so themselves."""
    for kind, tensors in zip(kinds, state, strict=STATELESS):
        for variable, tensor in zip(kind, tensors, strict=True):
            variable.assign(tensor)
