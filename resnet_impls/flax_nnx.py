"""The ResNet in Flax NNX: optax, and one jitted training step with donated buffers."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import cycle, islice

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import Array

from resnet_impls.architecture import BATCH_NORM_EPSILON, BATCH_NORM_MOMENTUM, Architecture, Conv
from resnet_impls.architecture import Block as BlockPlan
from resnet_impls.devices import DEVICES
from resnet_impls.weights import Weights

# What `jax_default_matmul_precision` calls it; the default may be TF32 on a GPU.
PRECISIONS = {"tf32": "tensorfloat32", "bf16": "default", "fp16": "default"}
LOOP = 10  # steps within one call, where XLA loops over them
# What XLA puts into CUDA graphs, its command buffers, in mode cuda-graph-compiled. By itself it
# leaves out the last two, so that a graph ends at each convolution and at a loop.
COMMANDS = (
    *("FUSION", "CUBLAS", "CUBLASLT", "CUDNN", "CUSTOM_CALL", "CONDITIONAL"),
    *("DYNAMIC_SLICE_FUSION", "CONVOLUTION", "WHILE"),
)
HALVES = {"bf16": jnp.bfloat16, "fp16": jnp.float16}
Layer = Callable[[Array], Array]
Batch = tuple[Array, Array]  # images, labels


def flax_name(name: str) -> tuple[str, ...]:
    """Flax's path to a tensor: `stem.bn.variance` is ("stem", "bn", "var"); same layouts."""
    path, _, leaf = name.rpartition(".")
    return (*path.split("."), "var" if leaf == "variance" else leaf)


class BatchNorm(nnx.BatchNorm):
    """Batch norm whose running variance is the unbiased one; Flax's own divides by n, not n - 1."""

    def __call__(self, x, use_running_average=None, *, mask=None):
        before = self.var[...]
        outputs = super().__call__(x).astype(x.dtype)  # bfloat16 was normalised in float32
        if not self.use_running_average:
            after = self.var[...]
            count = x.size // x.shape[-1]
            self.var[...] = after + (after - self.momentum * before) / (count - 1)
        return outputs


class Sequential(nnx.Module):
    """Layers that are applied in turn, each with a name."""

    def __init__(self, layers: Mapping[str, Layer]) -> None:
        self.order = tuple(layers)  # NNX itself sorts attributes by name
        for name, layer in layers.items():
            setattr(self, name, layer)

    def __call__(self, x: Array) -> Array:
        for name in self.order:
            x = getattr(self, name)(x)
        return x


def conv_bn(conv: Conv, dtype: jnp.dtype | None) -> dict[str, Layer]:
    """A convolution and its batch norm, each with its own leaf name."""
    pad = conv.padding
    layers: dict[str, Layer] = {}
    name = conv.name.rpartition(".")[2]
    # XLA is slow on a CPU at the gradients of a convolution that pads and strides.
    if conv.stride > 1:
        layers[f"{name}_pad"] = partial(jnp.pad, pad_width=((0, 0), (pad, pad), (pad, pad), (0, 0)))
        pad = 0
    options = {"padding": pad, "use_bias": False, "dtype": dtype, "rngs": nnx.Rngs(0)}
    layers[name] = nnx.Conv(conv.inputs, conv.outputs, (conv.kernel,) * 2, conv.stride, **options)
    layers[conv.norm.rpartition(".")[2]] = BatchNorm(
        conv.outputs, momentum=1 - BATCH_NORM_MOMENTUM, epsilon=BATCH_NORM_EPSILON, rngs=nnx.Rngs(0)
    )
    return layers


class Block(nnx.Module):
    """`relu(residual(x) + shortcut(x))`."""

    def __init__(self, block: BlockPlan, dtype: jnp.dtype | None) -> None:
        layers: dict[str, Layer] = {}
        for index, conv in enumerate(block.residual, start=1):
            layers |= conv_bn(conv, dtype)
            if conv is not block.residual[-1]:
                layers[f"relu{index}"] = nnx.relu
        self.residual = Sequential(layers)
        self.shortcut = Sequential(conv_bn(block.shortcut, dtype) if block.shortcut else {})

    def __call__(self, x: Array) -> Array:  # (B, H, W, C) -> (B, H', W', C')
        return nnx.relu(self.residual(x) + self.shortcut(x))


class ResNet(Sequential):
    """Stem, stages, global average pool, dense head: (B, H, W, 3) -> logits (B, classes)."""

    def __init__(self, architecture: Architecture, dtype: jnp.dtype | None) -> None:
        layers: dict[str, Layer] = {"stem": Sequential(conv_bn(architecture.stem, dtype))}
        layers["relu"] = nnx.relu
        if architecture.max_pool:
            layers["max_pool"] = partial(
                nnx.max_pool, window_shape=(3, 3), strides=(2, 2), padding=((1, 1), (1, 1))
            )
        for index, blocks in enumerate(architecture.stages, start=1):
            stage = {block.name.rpartition(".")[2]: Block(block, dtype) for block in blocks}
            layers[f"stage{index}"] = Sequential(stage)
        layers["pool"] = partial(jnp.mean, axis=(1, 2))  # (B, C)
        layers["head"] = nnx.Linear(architecture.features, architecture.classes, rngs=nnx.Rngs(0))
        super().__init__(layers)


def optimizer_of(name: str, weight_decay: float, rate: Array) -> optax.GradientTransformation:
    """Adam, AdamW, or SGD with momentum; kernels decay, batch norms and biases do not."""
    kernels = partial(jax.tree.map, lambda parameter: parameter.ndim > 1)
    if name == "adam":
        return optax.adam(rate, eps=1e-8)
    if name == "adamw":
        return optax.adamw(rate, eps=1e-8, weight_decay=weight_decay, mask=kernels)
    sgd = optax.sgd(rate, momentum=0.9)
    if not weight_decay:
        return sgd
    return optax.chain(optax.add_decayed_weights(weight_decay, kernels), sgd)


def rate_of(rates: Array, step: Array) -> Array:
    """The learning rate of a step, counted from 0; of those after the last that of the last."""
    return rates[jnp.minimum(step, len(rates) - 1)]


def graph_options() -> dict[str, str]:
    """The options with which XLA captures whole programs as CUDA graphs.

    Raises NotImplementedError where this version of it does not know them.
    """
    options = {"xla_gpu_enable_command_buffer": ",".join(COMMANDS)}
    try:
        jax.jit(jnp.negative, compiler_options=options)(1.0)
    except jax.errors.JaxRuntimeError as error:
        raise NotImplementedError(f"this JAX captures no such graphs: {error}") from error
    return options


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
    ) -> None:
        jax.config.update("jax_enable_x64", precision == "fp64")
        jax.config.update("jax_default_matmul_precision", PRECISIONS.get(precision, "highest"))
        try:
            self.device = jax.devices(DEVICES[device].jax)[0]
        except RuntimeError as error:
            raise ImportError(f"this JAX finds no {device} device") from error
        self.on_gpu = device != "cpu"
        # On a CPU, a step takes 11 times as long in XLA's loop. Large images make steps so long
        # that nobody waits for Python, and a loop would copy them.
        self.loops = self.on_gpu and not architecture.max_pool
        self.dtype = jnp.float64 if precision == "fp64" else jnp.float32

        # shapes only: the weights that would be drawn here are never used
        scale = 2.0**10 if precision == "fp16" else 1.0  # static: an overflow is a loss of nan
        model = nnx.eval_shape(lambda: ResNet(architecture, HALVES.get(precision)))
        tensors = {flax_name(name): self.to_device(value) for name, value in weights.items()}
        nnx.update(model, nnx.from_flat_state(tensors))
        self.names = {flax_name(name): name for name in weights}

        # injected: the rate is part of the state, where it can change
        rule = optax.inject_hyperparams(partial(optimizer_of, optimizer, weight_decay))
        rate: float | optax.Schedule = learning_rate
        if learning_rates is not None:
            rate = partial(rate_of, jnp.asarray(learning_rates, self.dtype))
        # Split once here: `nnx.jit` would traverse the modules again at every call.
        optimizer_def, state = nnx.split(nnx.Optimizer(model, rule(rate=rate), wrt=nnx.Param))
        optimizer_state = jax.device_put(state, self.device)  # as a step returns it: one program
        self.model_def, model_state = nnx.split(model)
        # Flat as well: to take modules' states apart takes some 100 µs at every call.
        self.state, self.tree = jax.tree.flatten((model_state, optimizer_state))
        self.rule = optimizer
        self.last: tuple[
            jax.stages.Wrapped, tuple[Array, ...]
        ]  # a program, and a batch that it was given

        def loss_fn(model, images, labels):
            logits = model(images)
            if label_smoothing:
                one_hot = jax.nn.one_hot(labels, architecture.classes, dtype=logits.dtype)
                targets = optax.smooth_labels(one_hot, label_smoothing)
                losses = optax.softmax_cross_entropy(logits, targets)
            else:
                losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return losses.mean() * scale

        def train_step(state, images, labels):
            model_state, optimizer_state = jax.tree.unflatten(self.tree, state)
            model = nnx.merge(self.model_def, model_state)
            optimizer = nnx.merge(optimizer_def, optimizer_state)
            loss, gradients = nnx.value_and_grad(loss_fn)(model, images, labels)
            optimizer.update(model, jax.tree.map(lambda g: g / scale, gradients))
            return jax.tree.leaves((nnx.state(model), nnx.state(optimizer))), loss / scale

        def forward(state, images):
            model = nnx.merge(self.model_def, jax.tree.unflatten(self.tree, state)[0])
            model.eval()
            return model(images)

        def train_loop(state, batches):
            stacked = jax.tree.map(lambda *each: jnp.stack(each), *batches)
            return jax.lax.scan(lambda state, batch: train_step(state, *batch), state, stacked)

        def infer_loop(state, batches):
            images = jnp.stack([x for x, _ in batches])
            logits = jnp.zeros((images.shape[1], architecture.classes), self.dtype)
            return jax.lax.scan(lambda _, x: (forward(state, x), None), logits, images)[0]

        self.graphed = mode == "cuda-graph-compiled"
        jit = partial(jax.jit, compiler_options=graph_options() if self.graphed else None)
        self.train_step = jit(train_step, donate_argnums=0)
        self.train_loop = jit(train_loop, donate_argnums=0)
        self.forward, self.infer_loop = jit(forward), jit(infer_loop)

    def place(self, images: np.ndarray, labels: np.ndarray) -> None:
        pairs = zip(images, jax.device_put(list(labels), self.device), strict=True)
        self.batches = cycle(jax.block_until_ready([(self.to_device(x), y) for x, y in pairs]))

    def calls(self, steps: int) -> Iterator[list[Batch]]:
        """The batches of each call: LOOP of them where XLA loops over steps, the rest singly."""
        loops = steps // LOOP if self.loops else 0
        for count in [LOOP] * loops + [1] * (steps - LOOP * loops):
            yield list(islice(self.batches, count))

    def set_learning_rate(self, rate: float) -> None:
        state = jax.tree.unflatten(self.tree, self.state)
        value = state[1]["opt_state"]["hyperparams"]["rate"]
        value[...] = jax.device_put(jnp.asarray(rate, value[...].dtype), self.device)
        self.state = jax.tree.leaves(state)

    def train(self, steps: int) -> np.ndarray:
        losses = []
        for batches in self.calls(steps):
            if len(batches) > 1:
                self.state, loss = self.train_loop(self.state, batches)
            else:
                self.state, loss = self.train_step(self.state, *batches[0])
            losses.append(loss)
        self.last = self.train_step, batches[0]
        return np.hstack(jax.device_get(losses))  # the copy waits for the device

    def predict(self, images: np.ndarray) -> np.ndarray:
        return np.asarray(self.forward(self.state, self.to_device(images)))

    def infer(self, steps: int) -> np.ndarray:
        logits = []
        for batches in self.calls(steps):
            if len(batches) > 1:
                logits.append(self.infer_loop(self.state, batches))
            else:
                logits.append(self.forward(self.state, batches[0][0]))
        self.last = self.forward, (batches[0][0],)
        return np.asarray(jax.block_until_ready(logits)[-1])

    def program_mib(self) -> float | None:
        """Of one step: its arguments, what it needs meanwhile, and what it returns beside them."""
        if not self.on_gpu:
            return None
        program, batch = self.last  # which has been compiled: here it is found
        found = program.lower(self.state, *batch).compile().memory_analysis()
        returned = found.output_size_in_bytes - found.alias_size_in_bytes
        taken = found.argument_size_in_bytes + found.temp_size_in_bytes + returned
        return float(taken) / 2**20

    def weights(self) -> Weights:
        tensors = dict(nnx.to_flat_state(jax.tree.unflatten(self.tree, self.state)[0]))
        return {self.names.get(path, str(path)): np.array(tensors[path][...]) for path in tensors}

    def settings(self) -> dict[str, str]:
        state, _ = jax.tree.unflatten(self.tree, self.state)
        conv = nnx.merge(self.model_def, state).stem.conv
        stored = conv.kernel[...].dtype.name
        found = {"parameters": stored, "computation": jnp.dtype(conv.dtype or stored).name}
        if self.graphed:
            found["command_buffers"] = " ".join(COMMANDS)
        return found | {"layout": "channels_last/HWIO", "optimizer": self.rule}

    def to_device(self, images: np.ndarray) -> Array:
        """An array of the host on the device, in the precision of the parameters."""
        return jax.device_put(images.astype(self.dtype), self.device)
