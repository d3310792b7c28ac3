"""The specification obeys the definitions, finite differences and PyTorch in float64."""

from collections.abc import Callable, Iterable

import numpy as np
import pytest

from resnet_impls.architecture import ARCHITECTURES, Architecture, Block, Conv
from resnet_impls.numpy_reference import Pass, Reference, softmax_cross_entropy
from resnet_impls.torch_loops import FROM_TORCH, torch_name
from resnet_impls.torch_module import Implementation
from resnet_impls.weights import Weights, fingerprint, initial_weights

LEARNING_RATES = {"adam": 1e-3, "sgd": 0.05, "adamw": 1e-3}
DECAY = 0.1  # so large that it shows


def blocks(stem: int, width: int) -> tuple[tuple[Block, ...], ...]:
    """A basic block that keeps the shape, then a bottleneck that halves it, to `width` channels."""
    first, second = "stage1.block1", "stage2.block1"
    basic = (
        Conv(f"{first}.residual.conv1", 3, 1, stem, stem),
        Conv(f"{first}.residual.conv2", 3, 1, stem, stem),
    )
    bottleneck = (
        Conv(f"{second}.residual.conv1", 1, 1, stem, stem),
        Conv(f"{second}.residual.conv2", 3, 2, stem, stem),
        Conv(f"{second}.residual.conv3", 1, 1, stem, width),
    )
    shortcut = Conv(f"{second}.shortcut.conv", 1, 2, stem, width)
    return (Block(first, basic, None),), (Block(second, bottleneck, shortcut),)


TINY = Architecture("tiny", 8, 5, Conv("stem.conv", 3, 1, 3, 4), True, blocks(4, 6))
SHRUNKEN = Architecture("shrunken", 32, 10, Conv("stem.conv", 7, 2, 3, 16), True, blocks(16, 64))


def trained_weights(architecture: Architecture) -> Weights:
    """Weights whose batch norms are not the identity, in numbers that float32 holds exactly."""
    stream = np.random.default_rng(1)
    weights = initial_weights(architecture, 0)
    for name, value in weights.items():
        leaf = name.rpartition(".")[2]
        if leaf in ("scale", "variance"):
            value[:] = stream.uniform(0.5, 1.5, value.shape)
        elif leaf in ("bias", "mean"):
            value[:] = stream.normal(0, 0.3, value.shape)
    return weights


def batches(architecture: Architecture, count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (count, size, H, W, 3) and labels (count, size)."""
    stream = np.random.default_rng(2)
    pixels = architecture.image_size
    images = stream.standard_normal((count, size, pixels, pixels, 3), np.float32)
    return images, stream.integers(0, architecture.classes, (count, size), np.int32)


def reference(architecture: Architecture, optimizer: str) -> Reference:
    rate = LEARNING_RATES[optimizer]
    return Reference(
        architecture, trained_weights(architecture), optimizer=optimizer, learning_rate=rate
    )


def in_torch(architecture: Architecture, optimizer: str) -> Implementation:
    return Implementation(
        architecture,
        trained_weights(architecture),
        device="cpu",
        precision="fp64",
        mode="eager",
        optimizer=optimizer,
        learning_rate=LEARNING_RATES[optimizer],
    )


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Relative L2 error."""
    assert ours.shape == theirs.shape
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


def flat(tensors: Weights, names: Iterable[str]) -> np.ndarray:
    return np.concatenate([tensors[name].ravel() for name in names])


def above(limit: float, errors: dict[str, float]) -> dict[str, float]:
    """The errors that exceed `limit`, or are not numbers."""
    return {name: error for name, error in errors.items() if not error <= limit}


def test_gradients_are_the_slopes_of_the_loss() -> None:
    (images,), (labels,) = batches(TINY, 1, 6)
    model, stream, step = reference(TINY, "sgd"), np.random.default_rng(3), 1e-5
    _, gradients, _, margin = model.gradients(images, labels)
    assert margin > 10 * step  # no ReLU flips on the way
    errors: dict[str, list[float]] = {name: [] for name in TINY.parameters}
    for name, gradient in gradients.items():
        middle = model.weights[name]
        entries = [np.eye(gradient.size)[i] for i in stream.integers(gradient.size, size=4)]
        for direction in (*entries, stream.standard_normal(gradient.size) / gradient.size**0.5):
            losses = []
            for sign in (1, -1):
                model.weights[name] = middle + sign * step * direction.reshape(gradient.shape)
                losses.append(model.gradients(images, labels)[0])
            slope = (losses[0] - losses[1]) / (2 * step)
            error = abs(slope - direction @ gradient.ravel()) / np.linalg.norm(gradient)
            errors[name].append(float(error))
        model.weights[name] = middle
    assert {name: e for name, e in errors.items() if len(e) != 5 or not np.max(e) <= 1e-6} == {}


@pytest.mark.parametrize("distance", [1e-7, -1e-7, 0.0])
def test_margin_is_the_distance_of_the_nearest_relu_input_from_zero(distance: float) -> None:
    (images,), (labels,) = batches(TINY, 1, 6)
    model, norm = reference(TINY, "sgd"), "stage1.block1.residual.bn1"
    assert model.gradients(images, labels)[3] > 1e-6
    model.weights[f"{norm}.scale"][:] = 0
    model.weights[f"{norm}.bias"][:] = distance  # all that the ReLU behind this norm sees
    _, gradients, _, margin = model.gradients(images, labels)
    assert margin == abs(distance)
    assert gradients[f"{norm}.bias"].any() == (distance > 0)


def test_margin_counts_values_that_compete_in_a_max_pool_but_not_those_at_zero() -> None:
    x = np.zeros((1, 4, 4, 1))  # what a ReLU let through
    x[0, 1, 1], x[0, 2, 2] = 2.0, 1.75
    forward = Pass(TINY, {}, training=True)
    forward.pool(x)
    assert forward.margin == 0.25


def test_running_statistics_follow_their_definition() -> None:
    (images,), (labels,) = batches(TINY, 1, 6)
    model = reference(TINY, "sgd")
    before = {name: value.copy() for name, value in model.weights.items()}
    padded = np.zeros((6, 10, 10, 3))
    padded[:, 1:9, 1:9] = images
    values = np.array(
        [
            np.einsum("bijc,ijco->bo", padded[:, y : y + 3, x : x + 3], before["stem.conv.kernel"])
            for y, x in np.ndindex(8, 8)
        ]
    ).reshape(-1, 4)  # what the stem's batch norm sees, pixel by pixel
    mean = values.sum(0) / len(values)
    unbiased = ((values - mean) ** 2).sum(0) / (len(values) - 1)
    model.train_step(images, labels)
    expected = 0.9 * before["stem.bn.mean"] + 0.1 * mean
    np.testing.assert_allclose(model.weights["stem.bn.mean"], expected, rtol=1e-12)
    expected = 0.9 * before["stem.bn.variance"] + 0.1 * unbiased
    np.testing.assert_allclose(model.weights["stem.bn.variance"], expected, rtol=1e-12)


def test_evaluation_normalises_with_the_running_statistics() -> None:
    (images,), (labels,) = batches(TINY, 1, 6)
    model = reference(TINY, "sgd")
    training, _ = Pass(TINY, model.weights, training=True).network(images.astype(np.float64))
    assert relative(model.predict(images), training) > 0.1
    # Running statistics that are those of this very batch make evaluation equal to training
    _, _, updated, _ = model.gradients(images, labels)
    outputs = {layer.name: layer.output for layer in TINY.layers}
    for conv in TINY.convs:
        n = 6 * outputs[conv.name][0] * outputs[conv.name][1]
        for leaf, biased in (("mean", 1), ("variance", (n - 1) / n)):
            name = f"{conv.norm}.{leaf}"
            model.weights[name] = (updated[name] - 0.9 * model.weights[name]) / 0.1 * biased
    assert relative(model.predict(images), training) < 1e-12
    assert relative(model.predict(images[:1]), training[:1]) < 1e-12


def sgd(gradients: Iterable[float], weight: float, rate: float) -> float:
    momentum = 0.0
    for g in gradients:
        momentum = 0.9 * momentum + g
        weight -= rate * momentum
    return weight


def adam(gradients: Iterable[float], weight: float, rate: float) -> float:
    first = second = 0.0
    for step, g in enumerate(gradients, start=1):
        first += 0.1 * (g - first)
        second += 0.001 * (g * g - second)
        denominator = (second / (1 - 0.999**step)) ** 0.5 + 1e-8
        weight -= rate * first / (1 - 0.9**step) / denominator
    return weight


def test_weight_decay_is_of_kernels_alone_and_as_pytorchs() -> None:
    """SGD's in the gradient, AdamW's apart from it and times the rate, against PyTorch's own."""
    import torch

    for optimizer in ("sgd", "adamw"):
        start, rate = trained_weights(TINY), LEARNING_RATES[optimizer]
        model = Reference(TINY, start, optimizer=optimizer, learning_rate=rate, weight_decay=DECAY)
        theirs = {name: torch.tensor(start[name], dtype=torch.float64) for name in TINY.parameters}
        groups = [
            {"params": [theirs[n] for n in theirs if n.endswith(".kernel")], "weight_decay": DECAY},
            {"params": [theirs[n] for n in theirs if not n.endswith(".kernel")]},
        ]
        momentum = {"momentum": 0.9} if optimizer == "sgd" else {}
        kind = torch.optim.SGD if optimizer == "sgd" else torch.optim.AdamW
        rule = kind(groups, rate, weight_decay=0.0, **momentum)
        for images, labels in zip(*batches(TINY, 4, 6), strict=True):
            _, gradients, *_ = model.gradients(images, labels)
            for name, tensor in theirs.items():
                tensor.grad = torch.from_numpy(gradients[name].copy())
            rule.step()
            model.train_step(images, labels)
        for name, tensor in theirs.items():
            assert relative(model.weights[name], tensor.numpy()) < 1e-12, name


def test_smoothed_labels_are_pytorchs() -> None:
    import torch
    from torch.nn import functional

    stream = np.random.default_rng(3)
    logits, labels = stream.normal(0, 2, (6, 5)), stream.integers(0, 5, 6)
    theirs = torch.tensor(logits, requires_grad=True)
    loss = functional.cross_entropy(theirs, torch.from_numpy(labels), label_smoothing=0.1)
    loss.backward()
    ours, slope = softmax_cross_entropy(logits, labels, 0.1)
    assert ours == pytest.approx(float(loss.detach()), rel=1e-12)
    assert relative(slope, theirs.grad.numpy()) < 1e-12


@pytest.mark.parametrize(("optimizer", "recursion"), [("sgd", sgd), ("adam", adam)])
def test_optimizers_follow_the_scalar_recursion(
    optimizer: str, recursion: Callable[[Iterable[float], float, float], float]
) -> None:
    model, start = reference(TINY, optimizer), trained_weights(TINY)
    history: dict[str, list[float]] = {name: [] for name in TINY.parameters}
    for images, labels in zip(*batches(TINY, 4, 6), strict=True):
        loss, gradients, *_ = model.gradients(images, labels)
        for name, gradient in gradients.items():
            history[name].append(gradient.flat[-1])
        assert model.train_step(images, labels) == loss
    for name, entries in history.items():
        old = float(start[name].flat[-1])
        expected = recursion(entries, old, LEARNING_RATES[optimizer]) - old
        assert model.weights[name].flat[-1] - old == pytest.approx(expected, rel=1e-10), name


def test_the_weights_given_are_copied_and_gradients_change_nothing() -> None:
    (images,), (labels,) = batches(TINY, 1, 6)
    given = trained_weights(TINY)
    model = Reference(TINY, given, optimizer="adam", learning_rate=0.1)
    before = fingerprint(model.weights)
    model.gradients(images, labels)
    assert fingerprint(model.weights) == before
    model.train_step(images, labels)
    assert fingerprint(model.weights) != before
    assert fingerprint(given) == fingerprint(trained_weights(TINY))


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_twenty_steps_agree_with_pytorch(optimizer: str) -> None:
    architecture = ARCHITECTURES["resnet14"]
    images, labels = batches(architecture, 20, 8)
    ours, theirs = reference(architecture, optimizer), in_torch(architecture, optimizer)
    assert relative(ours.predict(images[0]), theirs.predict(images[0])) < 1e-12
    theirs.place(images, labels)
    losses = np.array([ours.train_step(x, y) for x, y in zip(images, labels, strict=True)])
    errors = {"losses": relative(losses, theirs.train(20))}
    weights = theirs.weights()
    for what in ("parameters", "statistics"):
        names = getattr(architecture, what)
        errors[what] = relative(flat(ours.weights, names), flat(weights, names))
    errors["logits"] = relative(ours.predict(images[0]), theirs.predict(images[0]))
    assert above(1e-12, errors) == {}


@pytest.mark.parametrize(
    ("architecture", "size"),
    [
        (ARCHITECTURES["resnet20"], 8),
        (SHRUNKEN, 8),
        (ARCHITECTURES["resnet18"], 2),
        pytest.param(ARCHITECTURES["resnet50"], 2, marks=pytest.mark.long),
    ],
    ids=lambda value: getattr(value, "name", f"batch{value}"),
)
def test_a_step_agrees_with_pytorch(architecture: Architecture, size: int) -> None:
    images, labels = batches(architecture, 1, size)
    ours, theirs = reference(architecture, "sgd"), in_torch(architecture, "sgd")
    errors = {"logits": relative(ours.predict(images[0]), theirs.predict(images[0]))}
    theirs.place(images, labels)
    losses = theirs.train(1)
    loss, gradients, statistics, _ = ours.gradients(images[0], labels[0])
    errors["loss"] = abs(loss / losses[0] - 1)
    weights, parameters = theirs.weights(), dict(theirs.model.named_parameters())
    errors |= {name: relative(value, weights[name]) for name, value in statistics.items()}
    assert above(1e-12, errors) == {}
    for name, gradient in gradients.items():
        slope = parameters[torch_name(name)].grad.numpy().transpose(FROM_TORCH[gradient.ndim])
        errors[name] = relative(gradient, slope)
    assert above(1e-11, errors) == {}
    assert errors.keys() == {"logits", "loss", *architecture.parameters, *architecture.statistics}
