"""JAX: no layers, one jitted step on flat lists, everything donated that changes."""

from functools import partial
from itertools import cycle, islice

import jax
import jax.numpy as jnp
from jax import lax

NHWC = ("NHWC", "HWIO", "NHWC")


def network(parameters, statistics, x, training):
    layers = iter(
        zip(parameters[:-2:3], parameters[1:-2:3], parameters[2:-2:3], statistics, strict=True)
    )
    updated = []

    def conv_bn(x, stride=1):
        kernel, scale, bias, (mean, variance) = next(layers)
        padding = "SAME"
        if stride > 1:
            padding = "VALID"
            x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        x = lax.conv_general_dilated(x, kernel, (stride,) * 2, padding, dimension_numbers=NHWC)
        if training:
            count = x.size // x.shape[-1]
            now = x.mean((0, 1, 2))
            biased = (x * x).mean((0, 1, 2)) - now * now
            unbiased = biased * count / (count - 1)
            updated.append((0.9 * mean + 0.1 * now, 0.9 * variance + 0.1 * unbiased))
            mean, variance = now, biased
        return (x - mean) * (lax.rsqrt(variance + 1e-5) * scale) + bias

    x = jax.nn.relu(conv_bn(x))
    for stride in (1, 1, 2, 1, 2, 1):
        y = jax.nn.relu(conv_bn(x, stride))
        y = conv_bn(y)
        x = jax.nn.relu(y + (x if stride == 1 else conv_bn(x, stride)))
    return x.mean((1, 2)) @ parameters[-2] + parameters[-1], updated


def loss_of(parameters, statistics, x, y):
    logits, updated = network(parameters, statistics, x, True)
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], axis=1)
    return -chosen.mean(), updated


@partial(jax.jit, donate_argnums=(0, 1, 2, 3, 4))
def train_step(parameters, statistics, m, v, step, x, y):
    (loss, statistics), gradients = jax.value_and_grad(loss_of, has_aux=True)(
        parameters, statistics, x, y
    )
    step += 1
    m = [0.9 * m + 0.1 * g for m, g in zip(m, gradients, strict=True)]
    v = [0.999 * v + 0.001 * g * g for v, g in zip(v, gradients, strict=True)]
    down, root = 1 - 0.9**step, 1 - 0.999**step
    parameters = [
        p - 1e-3 * (m / down) / (jnp.sqrt(v / root) + 1e-8)
        for p, m, v in zip(parameters, m, v, strict=True)
    ]
    return parameters, statistics, m, v, step, loss


@jax.jit
def forward(parameters, statistics, x):
    return network(parameters, statistics, x, False)[0]


def script(cell, parameters, images, labels):
    parameters = [jnp.array(value) for value in parameters]
    statistics = [(jnp.zeros_like(s), jnp.ones_like(s)) for s in parameters[1:-2:3]]
    m, v = ([jnp.zeros_like(p) for p in parameters] for _ in range(2))
    state = (parameters, statistics, m, v, jnp.array(0.0))
    batches = cycle([(jnp.array(x), jnp.array(y)) for x, y in zip(images, labels, strict=True)])

    def train(steps):
        nonlocal state
        losses = []
        for x, y in islice(batches, steps):
            *state, loss = train_step(*state, x, y)
            losses.append(loss)
        return jax.device_get(jnp.stack(losses))

    def infer(steps):
        logits = [forward(*state[:2], x) for x, _ in islice(batches, steps)]
        return jax.device_get(jax.block_until_ready(logits)[-1])

    return train, infer
