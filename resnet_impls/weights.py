"""Weights: drawn, saved, loaded and fingerprinted, the same bytes for every framework."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from resnet_impls.architecture import Architecture

Weights = dict[str, np.ndarray]  # canonical name -> float32 array, parameters then statistics
TYPES = {"F32": "float32", "F64": "float64", "F16": "float16", "BF16": "bfloat16"}  # of safetensors


def initial_weights(architecture: Architecture, seed: int) -> Weights:
    """Draw the weights that every framework starts from.

    Convolutions: normal with variance 2 / fan-out (He et al., arXiv:1502.01852, as torchvision
    does). Dense kernel and bias: uniform within 1 / sqrt(fan-in). Batch norms: the identity.
    Each tensor has a random stream of its own, keyed by its name, so that no tensor depends on
    the order in which the others are drawn.

    Returns `{name: float32 array}` with the shapes of `architecture.parameters` and
    `architecture.statistics`, in that order.
    """
    weights: Weights = {}
    for name, shape in (architecture.parameters | architecture.statistics).items():
        stream = np.random.default_rng([seed, crc32(name.encode())])
        leaf = name.rpartition(".")[2]
        if len(shape) == 4:
            deviation = np.sqrt(2 / (shape[0] * shape[1] * shape[3]))
            value = stream.normal(0, deviation, shape)
        elif name.startswith("head."):
            limit = 1 / np.sqrt(architecture.features)
            value = stream.uniform(-limit, limit, shape)
        else:
            value = np.full(shape, 1.0 if leaf in ("scale", "variance") else 0.0)
        weights[name] = value.astype(np.float32)
    return weights


def save(path: Path, weights: Weights) -> None:
    """Write tensors as a safetensors file, which appears only when it is whole."""
    from safetensors.numpy import save_file  # only where it is needed

    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    try:
        save_file({name: np.ascontiguousarray(value) for name, value in weights.items()}, temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load(path: Path, architecture: Architecture) -> Weights:
    """Read the weights of `architecture` from a safetensors file; nothing in it is executed.

    Names, shapes and types are compared before a value is read. Raises ValueError that says what is
    wrong with the file, OSError where it cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    if path.exists() and not path.is_file():  # a pipe or a device may have no end
        raise ValueError("is no regular file")
    try:
        with safe_open(path, framework="numpy") as file:
            found = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            _check(found, architecture)
            shapes = architecture.parameters | architecture.statistics
            weights = {name: file.get_tensor(name) for name in shapes}
    except SafetensorError as error:
        raise ValueError(f"no safetensors file ({error})") from None
    for name, value in weights.items():
        if not np.isfinite(value).all():
            raise ValueError(f"{name} holds values that are not finite numbers")
    return weights


def _check(found: Mapping[str, Any], architecture: Architecture) -> None:
    """Raises ValueError where the tensors of a file are not those of `architecture`."""
    shapes = architecture.parameters | architecture.statistics
    for problem, names in (
        ("no", shapes.keys() - found.keys()),
        ("an unexpected", found.keys() - shapes.keys()),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise ValueError(f"{problem} tensor {min(names)}{more}; {architecture.name} differs")
    for name, shape in shapes.items():
        given, kind = tuple(found[name].get_shape()), found[name].get_dtype()
        if given != shape or kind != "F32":
            is_now = f"{name} is {TYPES.get(kind, kind)} {given}"
            raise ValueError(f"{is_now}; in {architecture.name} it is float32 {shape}")


def fingerprint(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over the names, shapes, types and bytes of `arrays`, in order of their names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data)
    return digest.hexdigest()
