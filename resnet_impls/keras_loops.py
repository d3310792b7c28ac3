"""The loops of Keras' `fit` and `predict`, over batches that lie on the device.

Both take one of Keras' own steps after the other, and fetch what these put out at the end. So no
step waits for the one before, unless Keras' step itself does; `train_on_batch` and
`predict_on_batch` fetch each loss and each output, and on JAX assign every variable anew. `fit` and
`predict` themselves lead what they are given through the host's memory, and `steps_per_execution`,
by which TensorFlow takes several steps in one call, tells the loss of the last alone.
"""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

Tensor = Any  # of the backend
State = tuple[list[Tensor], ...]

STATELESS = keras.backend.backend() == "jax"  # its steps map the variables' values to new ones

# TensorFlow has int32 tensors lie in the host's memory, whatever the device
LABELS = "int64" if keras.backend.backend() == "tensorflow" else "int32"


def set_up(precision: str) -> None:
    """Have the backend tune convolutions where it does not by itself, and allow TF32 if that is the
    precision, by the backend's own call.
    """
    if keras.backend.backend() == "torch":
        import torch

        from resnet_impls.torch_loops import allow_tf32

        torch.backends.cudnn.benchmark = True
        allow_tf32(precision == "tf32")
    elif keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_tensor_float_32_execution(precision == "tf32")


def to_labels(labels: np.ndarray, classes: int | None) -> Tensor:
    """(B,) int32 on the host -> on the device: as they are, or as one-hot rows (B, `classes`)."""
    if classes is None:
        return ops.convert_to_tensor(labels, LABELS)
    return ops.convert_to_tensor(np.eye(classes)[labels], keras.config.floatx())


def fit(model: keras.Model, batches: Iterable[tuple[Tensor, Tensor]]) -> np.ndarray:
    """An optimizer step for each batch of images and labels -> their losses (steps,)."""
    batches, losses = iter(batches), []
    if model.train_function is None:  # builds what is missing, the optimizer's slots among it
        report_own_losses(model)
        loss = model.train_on_batch(*next(batches))
        losses.append(ops.convert_to_tensor(loss, keras.config.floatx()))
    kinds = [model.trainable_variables, model.non_trainable_variables, model.optimizer.variables]
    kinds.append(model.metrics_variables)
    state = values(kinds)
    for images, labels in batches:
        data = [(images, labels, None)]  # no image has a weight of its own
        if STATELESS:
            logs, state = model.train_function(state, iter(data))
        else:
            logs = model.train_function(data)
        losses.append(logs["loss"])
    assign(kinds, state)
    if STATELESS:
        import jax

        return np.array(jax.device_get(losses))  # to stack them, it would compile
    return ops.convert_to_numpy(ops.stack(losses))


def report_own_losses(model: keras.Model) -> None:
    """Have each step report its own loss; Keras' is the mean since its metrics were last reset."""
    compute_metrics = model.compute_metrics

    def of_this_step(*outcome: Any, **named: Any) -> dict[str, Tensor]:
        logs = compute_metrics(*outcome, **named)
        model.reset_metrics()  # as a part of the step's graph; between steps it costs 2 % of one
        return logs

    model.compute_metrics = of_this_step


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
