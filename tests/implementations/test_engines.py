"""What only infers: engines compute the reference's function, and every deviation is seen."""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, numpy_helper

from bench.executables import Training
from bench.identity import inference, problem
from bench.identity.checks import Check
from bench.identity.limits import LIMITS
from bench.identity.problem import Problem, Solution
from networks import MIXED, TINY
from resnet_impls import numpy_reference, onnxruntime_engine, openvino_engine

ENGINES = {"onnxruntime_engine": onnxruntime_engine, "openvino_engine": openvino_engine}
SMALL = "logits at small variances"
CHECKS = ["tensors", "evaluation logits", "logits of infer", SMALL]

Posed = tuple[Problem, Solution]


@pytest.fixture(scope="module")
def posed() -> Posed:
    stated = problem.pose(TINY)
    return stated, problem.solve(stated, Training("sgd"))


def certify(module: ModuleType, posed: Posed, precision: str = "fp32") -> list[Check]:
    def build(weights, optimizer, learning_rate, **_):
        return module.Implementation(
            posed[0].architecture,
            weights,
            device="cpu",
            precision=precision,
            mode="compiled",
            optimizer=optimizer,
            learning_rate=learning_rate,
        )

    return inference.checks(build, *posed, precision)


def failed(checks: list[Check]) -> list[str]:
    return [check.name for check in checks if not check.passed]


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_computes_the_references_function(name: str, posed: Posed) -> None:
    checks = certify(ENGINES[name], posed)
    assert [check.name for check in checks] == CHECKS
    assert failed(checks) == []


@pytest.mark.parametrize("name", ENGINES)
def test_it_does_so_with_all_that_the_family_has(name: str) -> None:
    stated = problem.pose(MIXED)
    assert failed(certify(ENGINES[name], (stated, problem.solve(stated, Training("sgd"))))) == []


@pytest.mark.parametrize(
    ("name", "precision", "epsilon", "passing"),
    [
        pytest.param("torch_export", "fp64", 1e-5, CHECKS, marks=pytest.mark.long),
        ("litert_engine", "fp32", 1e-5, CHECKS),
        ("litert_engine", "fp32", 1.01e-5, CHECKS[:-1]),
    ],
)
def test_what_needs_a_whole_framework_computes_it_too(
    name: str, precision: str, epsilon: float, passing: list[str]
) -> None:
    program = f"""
from bench.executables import Training
from bench.identity import inference, problem
from networks import MIXED
from resnet_impls import {name}

{name}.BATCH_NORM_EPSILON = {epsilon}

def build(weights, optimizer, learning_rate):
    return {name}.Implementation(
        MIXED, weights, device="cpu", precision={precision!r}, mode="compiled",
        optimizer=optimizer, learning_rate=learning_rate,
    )

stated = problem.pose(MIXED)
checks = inference.checks(build, stated, problem.solve(stated, Training("sgd")), {precision!r})
print([check.name for check in checks if check.passed])
"""
    environment = {
        "PYTHONPATH": os.pathsep.join(
            [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        )
    }
    finished = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert finished.stdout.splitlines()[-1] == str(passing)


def nodes(model: ModelProto, operator: str) -> list[NodeProto]:
    return [node for node in model.graph.node if node.op_type == operator]


def epsilon(value: float, model: ModelProto) -> None:
    for node in nodes(model, "BatchNormalization"):
        node.attribute[0].f = value


def padding(only: str, model: ModelProto) -> None:
    """The pads of `padding="same"` at stride 2."""
    for node in nodes(model, "Conv"):
        attributes = {attribute.name: attribute for attribute in node.attribute}
        if only in node.name and list(attributes["strides"].ints) == [2, 2]:
            attributes["pads"].ints[:] = [0, 0, 1, 1]


def without(operator: str, index: int, model: ModelProto) -> None:
    node = nodes(model, operator)[index]
    node.op_type = "Identity"
    del node.input[1:], node.attribute[:]


def kernels(change: Callable[[np.ndarray], np.ndarray], model: ModelProto) -> None:
    for tensor in model.graph.initializer:
        if len(tensor.dims) == 4:
            value = np.ascontiguousarray(change(numpy_helper.to_array(tensor)))
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))


def images(permutation: tuple[int, ...], model: ModelProto) -> None:
    """Take the images for another layout than they have."""
    swap = onnx.helper.make_node("Transpose", ["images"], ["swapped"], perm=permutation)
    stem = nodes(model, "Conv")[0]
    stem.input[0] = "swapped"
    model.graph.node.insert(0, swap)


DEVIATIONS = {
    "epsilon of Keras": (partial(epsilon, 1e-3), "evaluation logits"),
    "epsilon off by 1 %": (partial(epsilon, 1.01e-5), SMALL),
    "no epsilon": (partial(epsilon, 0.0), "evaluation logits"),
    "asymmetric padding": (partial(padding, ""), "evaluation logits"),
    "asymmetric padding of a shortcut": (partial(padding, "shortcut"), "evaluation logits"),
    "no relu in a block": (partial(without, "Relu", 1), "evaluation logits"),
    "no relu at the end": (partial(without, "Relu", -1), "evaluation logits"),
    "no shortcut": (partial(without, "Add", 1), "evaluation logits"),
    "no batch norm in a shortcut": (partial(without, "BatchNormalization", 3), "evaluation logits"),
    "transposed kernels": (
        partial(kernels, lambda x: x.transpose(0, 1, 3, 2)),
        "evaluation logits",
    ),
    "rotated kernels": (partial(kernels, lambda x: x[..., ::-1, ::-1]), "evaluation logits"),
    "kernels in float16": (
        partial(kernels, lambda x: x.astype(np.float16).astype(np.float32)),
        "evaluation logits",
    ),
    "transposed images": (partial(images, (0, 1, 3, 2)), "evaluation logits"),
}


@pytest.mark.parametrize("name", DEVIATIONS)
def test_float32_alone_tells_a_deviation_by_name(
    name: str, posed: Posed, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, seen_by = DEVIATIONS[name]
    sound = onnxruntime_engine.ResNet

    def deviating(*arguments):
        model = sound(*arguments)
        change(model)
        return model

    monkeypatch.setattr(onnxruntime_engine, "ResNet", deviating)
    found = failed(certify(onnxruntime_engine, posed))
    assert found
    assert found[0] == seen_by


@pytest.mark.parametrize("name", ENGINES)
def test_an_epsilon_off_by_one_percent_is_seen_in_every_engine(
    name: str, posed: Posed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ENGINES[name], "BATCH_NORM_EPSILON", 1.01e-5)
    assert failed(certify(ENGINES[name], posed)) == [SMALL]


def test_shrinking_leaves_the_function_but_for_epsilon(
    posed: Posed, monkeypatch: pytest.MonkeyPatch
) -> None:
    stated, solution = posed
    weights = {name: value.astype(np.float64) for name, value in stated.weights.items()}
    shrunk = inference.small_variances(weights)

    def error() -> float:
        reference = numpy_reference.Reference(TINY, shrunk, optimizer="sgd", learning_rate=0.0)
        return inference.relative(reference.predict(stated.images[0]), solution.logits)

    assert error() > 0.1
    monkeypatch.setattr(numpy_reference, "BATCH_NORM_EPSILON", 1e-5 * inference.SHRUNK**2)
    assert error() < 1e-12


def test_the_graph_in_float16_is_sound_too(posed: Posed) -> None:
    """The CPU computes it in float32: what is seen is that every tensor has its cast."""
    stated, solution = posed
    model = onnxruntime_engine.ResNet(TINY, stated.weights, onnx.TensorProto.FLOAT16)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime_engine.ort.InferenceSession(model.SerializeToString())
    x = stated.images[0].transpose(0, 3, 1, 2).astype(np.float16)
    (logits,) = session.run(None, {"images": x})
    assert inference.relative(logits, solution.logits) < LIMITS["fp16"]["evaluation logits"]
