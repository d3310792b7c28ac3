"""The ResNet in Flax NNX trained data-parallel: one process, a mesh of devices, a sharded batch.

Where a step is jitted over arrays that are sharded, XLA computes what it would of the whole batch,
so batch norms are synchronised by themselves. Per-replica ones need `shard_map`, within which a
step sees a device's part alone and averages by itself.
"""

from collections.abc import Callable
from functools import partial
from itertools import cycle, islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import Array
from jax.sharding import NamedSharding, PartitionSpec

from resnet_impls.architecture import Architecture
from resnet_impls.flax_nnx import HALVES, PRECISIONS, ResNet, flax_name, optimizer_of, rate_of
from resnet_impls.jax_devices import devices_of
from resnet_impls.weights import Weights

DATA = "data"  # the mesh's axis
Average = Callable[[Any], Any]  # over the devices, of a tree of arrays


class Implementation:
    def __init__(
        self,
        architecture: Architecture,
        weights: Weights,
        *,
        device: str,
        precision: str,
        mode: str,
        optimizer: str,
        learning_rate: float,
        weight_decay: float = 0.0,
        label_smoothing: float = 0.0,
        learning_rates: np.ndarray | None = None,
        world_size: int,
        batch_norm: str,
    ) -> None:
        jax.config.update("jax_enable_x64", precision == "fp64")
        jax.config.update("jax_default_matmul_precision", PRECISIONS.get(precision, "highest"))
        devices = devices_of(device, world_size)
        mesh = jax.make_mesh((world_size,), (DATA,), devices=devices)
        self.whole = NamedSharding(mesh, PartitionSpec())  # on each device
        self.parts = NamedSharding(mesh, PartitionSpec(DATA))  # of a batch, one on each
        self.dtype = jnp.float64 if precision == "fp64" else jnp.float32

        # shapes only: the weights that would be drawn here are never used
        scale = 2.0**10 if precision == "fp16" else 1.0  # static: an overflow is a loss of nan
        model = nnx.eval_shape(lambda: ResNet(architecture, HALVES.get(precision)))
        tensors = {flax_name(name): self.to(value, self.whole) for name, value in weights.items()}
        nnx.update(model, nnx.from_flat_state(tensors))
        self.names = {flax_name(name): name for name in weights}

        # injected: the rate is part of the state, where it can change
        rule = optax.inject_hyperparams(partial(optimizer_of, optimizer, weight_decay))
        rate: float | optax.Schedule = learning_rate
        if learning_rates is not None:
            rate = partial(rate_of, jnp.asarray(learning_rates, self.dtype))
        # Split once here: `nnx.jit` would traverse the modules again at every call.
        optimizer_def, state = nnx.split(nnx.Optimizer(model, rule(rate=rate), wrt=nnx.Param))
        optimizer_state = jax.device_put(state, self.whole)  # as a step returns it: one program
        self.model_def, model_state = nnx.split(model)
        # Flat as well: to take modules' states apart takes some 100 µs at every call.
        self.state, self.tree = jax.tree.flatten((model_state, optimizer_state))
        self.rule = optimizer

        def loss_fn(model, images, labels):
            logits = model(images)
            if label_smoothing:
                one_hot = jax.nn.one_hot(labels, architecture.classes, dtype=logits.dtype)
                targets = optax.smooth_labels(one_hot, label_smoothing)
                losses = optax.softmax_cross_entropy(logits, targets)
            else:
                losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return losses.mean() * scale

        def train_step(average: Average, state, images, labels):
            model_state, optimizer_state = jax.tree.unflatten(self.tree, state)
            model = nnx.merge(self.model_def, model_state)
            optimizer = nnx.merge(optimizer_def, optimizer_state)
            loss, gradients = nnx.value_and_grad(loss_fn)(model, images, labels)
            loss, gradients = average((loss, gradients))
            # running statistics, each of its part until here
            nnx.update(model, average(nnx.state(model, nnx.BatchStat)))
            optimizer.update(model, jax.tree.map(lambda g: g / scale, gradients))
            return jax.tree.leaves((nnx.state(model), nnx.state(optimizer))), loss / scale

        def forward(state, images):
            model = nnx.merge(self.model_def, jax.tree.unflatten(self.tree, state)[0])
            model.eval()
            return model(images)

        def of_parts(average: Average):
            """A step of each device's part; unchecked, since without average they differ."""
            of_batch, of_state = PartitionSpec(DATA), PartitionSpec()
            step = jax.shard_map(
                partial(train_step, average),
                mesh=mesh,
                in_specs=(of_state, of_batch, of_batch),
                out_specs=(of_state, of_state),
                check_vma=False,
            )
            return jax.jit(step, donate_argnums=0)

        def as_is(tensors: Any) -> Any:
            return tensors

        if batch_norm == "synchronised":
            step = partial(train_step, as_is)
            self.train_step = jax.jit(step, donate_argnums=0, out_shardings=self.whole)
        else:
            self.train_step = of_parts(partial(jax.lax.pmean, axis_name=DATA))
        self.step_alone, self.forward = of_parts(as_is), jax.jit(forward)

    def place(self, images: np.ndarray, labels: np.ndarray) -> None:
        pairs = zip(images, jax.device_put(list(labels), self.parts), strict=True)
        batches = [(self.to(x, self.parts), y) for x, y in pairs]
        self.batches = cycle(jax.block_until_ready(batches))

    def set_learning_rate(self, rate: float) -> None:
        state = jax.tree.unflatten(self.tree, self.state)
        value = state[1]["opt_state"]["hyperparams"]["rate"]
        value[...] = jax.device_put(jnp.asarray(rate, value[...].dtype), self.whole)
        self.state = jax.tree.leaves(state)

    def train(self, steps: int) -> np.ndarray:
        losses = []
        for images, labels in islice(self.batches, steps):
            self.state, loss = self.train_step(self.state, images, labels)
            losses.append(loss)
        return np.hstack(jax.device_get(losses))  # the copy waits for the devices

    def train_alone(self, steps: int) -> None:
        for images, labels in islice(self.batches, steps):
            self.state, _ = self.step_alone(self.state, images, labels)
        jax.block_until_ready(self.state)

    def predict(self, images: np.ndarray) -> np.ndarray:
        return np.asarray(self.forward(self.state, self.to(images, self.whole)))

    def infer(self, steps: int) -> np.ndarray:
        logits = [self.forward(self.state, images) for images, _ in islice(self.batches, steps)]
        return np.asarray(jax.block_until_ready(logits)[-1])

    def weights(self) -> Weights:
        tensors = dict(nnx.to_flat_state(jax.tree.unflatten(self.tree, self.state)[0]))
        return {self.names.get(path, str(path)): np.array(tensors[path][...]) for path in tensors}

    def settings(self) -> dict[str, str]:
        state, _ = jax.tree.unflatten(self.tree, self.state)
        conv = nnx.merge(self.model_def, state).stem.conv
        stored = conv.kernel[...].dtype.name
        found = {"parameters": stored, "computation": jnp.dtype(conv.dtype or stored).name}
        return found | {"layout": "channels_last/HWIO", "optimizer": self.rule}

    def to(self, array: np.ndarray, sharding: NamedSharding) -> Array:
        """An array of the host on the devices, in the precision of the parameters."""
        return jax.device_put(array.astype(self.dtype), sharding)
