"""Every framework starts from the same bytes, and the fingerprint tells when it does not."""

import os
import subprocess
import sys

import numpy as np
import pytest

from resnet_impls.architecture import ARCHITECTURES
from resnet_impls.weights import Weights, fingerprint, initial_weights

RESNET14 = ARCHITECTURES["resnet14"]


@pytest.fixture(scope="module")
def weights() -> Weights:
    return initial_weights(RESNET14, 0)


def test_same_seed_gives_the_same_bytes_in_another_process(weights: Weights) -> None:
    program = (
        "from resnet_impls.architecture import ARCHITECTURES\n"
        "from resnet_impls.weights import fingerprint, initial_weights\n"
        "print(fingerprint(initial_weights(ARCHITECTURES['resnet14'], 0)))"
    )
    for hash_seed in ("1", "2"):
        there = subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert there.stdout.strip() == fingerprint(weights)


def test_another_seed_changes_every_drawn_tensor(weights: Weights) -> None:
    others = initial_weights(RESNET14, 1)
    drawn = [name for name in weights if name.endswith(".kernel") or name == "head.bias"]
    assert not any(np.array_equal(weights[name], others[name]) for name in drawn)


def test_no_tensor_depends_on_the_others(weights: Weights) -> None:
    deeper = initial_weights(ARCHITECTURES["resnet20"], 0)
    shared = [name for name in weights if name in deeper and "shortcut" not in name]
    assert "stage3.block2.residual.conv2.kernel" in shared
    assert all(np.array_equal(weights[name], deeper[name]) for name in shared)


def test_no_two_tensors_hold_the_same_values(weights: Weights) -> None:
    convolutions = [value.tobytes() for value in weights.values() if value.ndim == 4]
    assert len(set(convolutions)) == len(convolutions)


def test_shapes_are_those_of_the_architecture_and_types_are_float32(weights: Weights) -> None:
    shapes = {name: value.shape for name, value in weights.items()}
    assert list(shapes.items()) == list((RESNET14.parameters | RESNET14.statistics).items())
    assert {value.dtype for value in weights.values()} == {np.dtype(np.float32)}


def test_convolutions_have_the_variance_of_he_et_al(weights: Weights) -> None:
    scaled = []
    for conv in RESNET14.convs:
        kernel = weights[f"{conv.name}.kernel"].astype(np.float64)
        scaled.append((kernel * np.sqrt(conv.kernel**2 * conv.outputs / 2)).reshape(-1))
        # four standard errors of a variance
        assert scaled[-1].var() == pytest.approx(1, abs=4 * np.sqrt(2 / kernel.size))
    assert np.concatenate(scaled).mean() == pytest.approx(0, abs=0.01)


def test_dense_layer_is_uniform_within_the_bound(weights: Weights) -> None:
    limit = 1 / np.sqrt(64)
    kernel = weights["head.kernel"]
    assert -limit <= kernel.min() < -0.98 * limit
    assert 0.98 * limit < kernel.max() <= limit
    assert np.abs(weights["head.bias"]).max() <= limit


def test_batch_norms_start_as_the_identity(weights: Weights) -> None:
    start = {"scale": 1.0, "bias": 0.0, "mean": 0.0, "variance": 1.0}
    for conv in RESNET14.convs:
        for leaf, value in start.items():
            assert (weights[f"{conv.norm}.{leaf}"] == value).all()


def test_fingerprint_sees_a_single_bit(weights: Weights) -> None:
    changed = dict(weights, **{"head.bias": weights["head.bias"].copy()})
    changed["head.bias"].view(np.uint8)[-4] ^= 1
    assert fingerprint(changed) != fingerprint(weights)


def test_fingerprint_sees_a_name() -> None:
    assert fingerprint({"a": np.ones(2)}) != fingerprint({"b": np.ones(2)})


def test_fingerprint_sees_a_shape() -> None:
    assert fingerprint({"a": np.ones((2, 3))}) != fingerprint({"a": np.ones((3, 2))})


def test_fingerprint_sees_a_type() -> None:
    zeros = np.zeros(2, np.float32)
    assert fingerprint({"a": zeros}) != fingerprint({"a": zeros.view(np.int32)})


def test_fingerprint_sees_which_name_holds_which_values() -> None:
    one, two = np.ones(1), np.full(1, 2.0)
    assert fingerprint({"a": one, "b": two}) != fingerprint({"a": two, "b": one})


def test_fingerprint_ignores_the_order_of_the_dict(weights: Weights) -> None:
    assert fingerprint(dict(reversed(weights.items()))) == fingerprint(weights)


def test_fingerprint_ignores_the_layout_in_memory() -> None:
    values = np.arange(6.0).reshape(2, 3)
    assert fingerprint({"a": np.asfortranarray(values)}) == fingerprint({"a": values})
