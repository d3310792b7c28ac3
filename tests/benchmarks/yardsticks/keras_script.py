"""Keras: the same layers and optimizer, in the training loop that its guides write by hand.

The layers are those of the Functional API for its siblings too, and the fused ones for those.
"""

from importlib import import_module
from itertools import cycle, islice

import keras
import numpy as np

from resnet_impls.architecture import ARCHITECTURES
from resnet_impls.keras_functional import keras_name
from resnet_impls.keras_optimizers import Adam

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def script(cell, parameters, images, labels):
    architecture = ARCHITECTURES[cell.model]
    layers = "keras_fused" if cell.implementation == "keras_fused" else "keras_functional"
    model = import_module(f"resnet_impls.{layers}").ResNet(architecture)
    variables = {v.path: v for v in model.trainable_variables}
    for name, value in zip(architecture.parameters, parameters, strict=True):
        variables[keras_name(name)].assign(value)
    optimizer = Adam(1e-3, epsilon=1e-8)
    optimizer.build(model.trainable_variables)
    train, infer = BACKENDS[keras.backend.backend()](model, optimizer, cell.mode == "compiled")
    to_tensor = keras.ops.convert_to_tensor
    pairs = zip(images, labels, strict=True)
    batches = cycle([(to_tensor(x.copy()), to_tensor(y)) for x, y in pairs])
    return (
        lambda steps: np.array([float(loss) for loss in train(islice(batches, steps))]),
        lambda steps: keras.ops.convert_to_numpy(infer(x for x, _ in islice(batches, steps))),
    )


def tensorflow(model, optimizer, compiled):
    import tensorflow as tf

    @tf.function(jit_compile=compiled)
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = LOSS(y, model(x, training=True))
        optimizer.apply(tape.gradient(loss, [v.value for v in model.trainable_variables]))
        return loss

    @tf.function(jit_compile=compiled)
    def forward(x):
        return model(x, training=False)

    return lambda batches: [step(x, y) for x, y in batches], lambda xs: [forward(x) for x in xs][-1]


def torch(model, optimizer, compiled):
    import torch

    def loss_of(x, y):
        return LOSS(y, model(x, training=True))

    def forward(x):
        return model(x, training=False)

    if compiled:
        loss_of, forward = torch.compile(loss_of), torch.compile(forward)

    def train(batches):
        losses = []
        for x, y in batches:
            model.zero_grad()
            loss = loss_of(x, y)
            loss.backward()
            with torch.no_grad():
                gradients = [v.value.grad for v in model.trainable_variables]
                optimizer.apply(gradients, model.trainable_variables)
            losses.append(loss.detach())
        return losses

    def infer(xs):
        with torch.inference_mode():
            return [forward(x) for x in xs][-1]

    return train, infer


def jax(model, optimizer, compiled):
    import jax

    def loss_of(parameters, statistics, x, y):
        logits, statistics = model.stateless_call(parameters, statistics, x, training=True)
        return LOSS(y, logits), statistics

    def step(parameters, statistics, slots, x, y):
        (loss, statistics), gradients = jax.value_and_grad(loss_of, has_aux=True)(
            parameters, statistics, x, y
        )
        parameters, slots = optimizer.stateless_apply(slots, gradients, parameters)
        return parameters, statistics, slots, loss

    def forward(parameters, statistics, x):
        return model.stateless_call(parameters, statistics, x, training=False)[0]

    if compiled:
        step, forward = jax.jit(step, donate_argnums=(0, 1, 2)), jax.jit(forward)
    kinds = (model.trainable_variables, model.non_trainable_variables, optimizer.variables)
    parameters, statistics, slots = ([v.value for v in kind] for kind in kinds)

    def train(batches):
        nonlocal parameters, statistics, slots
        losses = []
        for x, y in batches:
            parameters, statistics, slots, loss = step(parameters, statistics, slots, x, y)
            losses.append(loss)
        return losses

    return train, lambda xs: [forward(parameters, statistics, x) for x in xs][-1]


BACKENDS = {"tensorflow": tensorflow, "torch": torch, "jax": jax}
