"""The article's pair: two networks that look alike, and what tells them apart."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.cells import Cell
from bench.identity import article, problem
from bench.identity.article import Effect
from bench.identity.certificate import Half
from bench.identity.checks import relative
from bench.obstacles import obstacle
from bench.request.matrix import contenders
from bench.worker.environment import Environment
from builders import record, report_md
from resnet_impls.architecture import ARCHITECTURES
from resnet_impls.article_torch import Implementation
from resnet_impls.catalogue import CATALOGUE
from resnet_impls.numpy_article import LEAST_PROBABILITY, Choices, clipped_cross_entropy
from resnet_impls.numpy_reference import softmax_cross_entropy
from resnet_impls.weights import initial_weights

MakeCell = Callable[..., Cell]

RESNET14 = ARCHITECTURES["resnet14"]


def options(**changes: Any) -> dict[str, Any]:
    """What an implementation is given beside the network and its weights."""
    given = {"device": "cpu", "precision": "fp32", "mode": "eager", "optimizer": "adam"}
    return given | {"learning_rate": 1e-3} | changes


def in_keras(program: str, cell: Cell) -> Any:
    """What a fresh interpreter prints as JSON; `cell` says which backend Keras has there."""
    finished = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[1],
        # one thread: on a busy machine, threads that wait for each other make small networks slow
        env=os.environ | Environment.of(cell).variables() | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(finished.stdout.splitlines()[-1])


def test_the_pytorch_model_has_the_articles_count_of_parameters() -> None:
    model = Implementation(RESNET14, initial_weights(RESNET14, 0), **options()).model
    assert sum(tensor.numel() for tensor in model.parameters()) == 195_738


def test_the_keras_model_has_the_articles_counts_of_parameters(
    make_cell: MakeCell,
) -> None:
    program = f"""
import json
from resnet_impls.architecture import ARCHITECTURES
from resnet_impls.article_keras import Implementation
from resnet_impls.weights import initial_weights
network = ARCHITECTURES["resnet14"]
built = Implementation(network, initial_weights(network, 0), **{options()})
trainable = sum(v.numpy().size for v in built.model.trainable_variables)
built.set_learning_rate(0.25)
print(json.dumps({{
    "all": built.model.count_params(),
    "trainable": trainable,
    "tensors": sorted(built.weights()),
    "rate": float(built.model.optimizer.learning_rate.numpy()),
}}))
"""
    found = in_keras(program, make_cell(implementation="article_keras", backend="torch"))
    assert found["all"] == 197_418
    assert found["trainable"] == 196_298
    biases = {f"{conv.name}.bias" for conv in RESNET14.convs}
    assert set(found["tensors"]) == {*RESNET14.parameters, *RESNET14.statistics, *biases}
    assert found["rate"] == 0.25


def test_the_pytorch_model_takes_another_learning_rate() -> None:
    built = Implementation(RESNET14, initial_weights(RESNET14, 0), **options())
    built.set_learning_rate(0.25)
    assert [group["lr"] for group in built.optimizer.param_groups] == [0.25]


def test_what_is_opt_in_runs_where_it_is_named_only(make_cell: MakeCell) -> None:
    opt_in = [name for name, row in CATALOGUE.items() if row.opt_in]
    engines = ["tensorrt_engine", "torch_tensorrt_engine"]
    assert opt_in == ["keras_fused", *engines, "article_torch", "article_keras"]
    assert {row.name for row, _ in contenders(["all"])} == CATALOGUE.keys() - set(opt_in)
    assert [row.name for row, _ in contenders(opt_in[3:])] == ["article_torch"] + [
        "article_keras"
    ] * 3
    other = make_cell(implementation="article_torch", backend="torch", model="resnet20")
    found = obstacle(other)
    assert found
    assert found[0] == "unsupported"


@pytest.mark.parametrize(
    "backend", ["tensorflow", pytest.param("jax", marks=pytest.mark.long), "torch"]
)
def test_the_reference_with_keras_choices_is_the_articles_keras_model(
    backend: str, make_cell: MakeCell
) -> None:
    """Before the softmax, in float64, through 20 steps; and with PyTorch's it is the reference."""
    program = f"""
import json
import keras
import numpy as np
from bench.executables import Training
from bench.identity import problem
from bench.identity.checks import flat, relative
from resnet_impls.article_keras import Implementation
from resnet_impls.numpy_article import KERAS, ArticleReference, Choices
from networks import TINY

posed = problem.pose(TINY)
start = {{name: value.astype(np.float64) for name, value in posed.weights.items()}}
images, labels = posed.images.astype(np.float64), posed.labels
built = Implementation(TINY, start, **{options(precision="fp64")})
built.place(images, labels)
head = built.model.get_layer("head")
before = keras.Model(built.model.inputs, head.input)

def logits():
    features = keras.ops.convert_to_numpy(before(keras.ops.convert_to_tensor(images[0])))
    return features @ built.weights()["head.kernel"] + built.weights()["head.bias"]

ours = ArticleReference(TINY, start, KERAS, learning_rate=1e-3)
errors = [relative(logits(), ours.predict(images[0]))]
losses = [ours.train_step(images[step % 4], labels[step % 4]) for step in range(20)]
errors.append(relative(built.train(20), np.array(losses)))
found = built.weights()
errors.append(relative(flat(found, ours.weights), flat(ours.weights, ours.weights)))
errors.append(relative(logits(), ours.predict(images[0])))

plain = ArticleReference(TINY, start, Choices(), learning_rate=1e-3)
solution = problem.solve(posed, Training("adam"))
for step in range(20):
    plain.train_step(images[step % 4], labels[step % 4])
errors.append(relative(flat(plain.weights, start), flat(solution.weights[20], start)))
print(json.dumps([float(error) for error in errors]))
"""
    cell = make_cell(implementation="article_keras", backend=backend, precision="fp64")
    assert max(in_keras(program, cell)) < 1e-10


def test_the_effects_that_reports_quote_are_those_of_this_network() -> None:
    """Those on the first logits; `python -m bench.identity.article` computes all of them."""
    posed = problem.pose(ARCHITECTURES[article.MODEL])
    quoted = json.loads(article.FILE.read_text(encoding="utf-8"))
    assert quoted.keys() == article.names().keys()
    assert {field.name for field in fields(Choices)} | {article.ALL} == quoted.keys()
    _, evaluation, training = article.first(posed, ())
    for name in ("convolve", "epsilon", "bias", article.ALL):
        _, *logits = article.first(posed, article.names()[name])
        changes = [relative(*pair) for pair in zip(logits, (evaluation, training), strict=True)]
        stated = [quoted[name]["evaluation"], quoted[name]["training"]]
        assert changes == pytest.approx(stated, rel=0.01, abs=1e-12), name


def test_effects_are_told_in_words_from_the_largest_to_the_smallest() -> None:
    *alone, together = article.effects().items()
    sizes = [max(asdict(effect).values()) for _, effect in alone]
    assert sizes == sorted(sizes, reverse=True)
    assert together[0] == article.ALL
    stated = article.sentence(Effect(0.0772, 0.242, 1.32, 0.0))
    assert stated == (
        "the first logits change by 7.7 % in evaluation mode, by 24 % in training mode, after 20 "
        "steps the weights are apart by 132 % of the way that they have gone"
    )
    assert article.sentence(Effect(0, 0, 1e-14, 0)) == "no effect beyond rounding"
    assert article.percent(0.0999) == "10 %"


@pytest.mark.parametrize("status", ["ok", "uncertified"])
def test_the_report_explains_the_pair_where_it_was_measured(status: str) -> None:
    measured = record(implementation="article_keras", status=status)
    text = report_md(measured)
    heading = text.index("## The article's pair")
    assert text.index("## Certificates") < heading < text.index("## Same work")
    assert "**padding**: where a 3×3 convolution strides by 2" in text
    assert "| padding | 7.8 % | 14 % | 130 % | 17 % |" in text


def test_a_report_without_the_pair_says_nothing_of_it() -> None:
    absent = record(implementation="article_keras", status="unavailable")
    own = record(implementation="/gone/my_resnet.py", backend="my_resnet")
    assert "The article's pair" not in report_md(record(), own, absent)


def test_a_verdict_counts_tensors_and_measures_the_rest() -> None:
    checks = (
        ("tensors", 15.0, 0.0),
        ("evaluation logits", 0.9712, 1e-12),
        ("gradients", None, 1e-12),
        ("worst gradient", 1e-15, 1e-11),
    )
    assert Half(checks).verdict == (
        "failed: 15 tensors missing or in excess; evaluation logits off by 97.1% (limit 1e-12); "
        "1 more check failed"
    )
    assert Half(checks[2:]).verdict == "failed: gradients cannot be compared (no number)"
    assert Half((("tensors", 1.0, 0.0),)).verdict == "failed: 1 tensor missing or in excess"
    assert Half(checks[3:]).verdict == "passed"


def test_both_conventions_of_the_loss_are_one_function_until_keras_clips(
    make_cell: MakeCell,
) -> None:
    """PyTorch's, of logits and integers, beside Keras', of probabilities and one-hot labels."""
    program = """
import json
import math
import keras
import numpy as np
import torch
import torch.nn.functional as F

def both(logits, labels, dtype):
    keras.config.set_floatx(dtype)
    found = []
    for name in ("torch", "keras"):
        x = torch.tensor(logits, dtype=getattr(torch, dtype), requires_grad=True)
        if name == "torch":
            loss = F.cross_entropy(x, torch.tensor(labels))
        else:
            one_hot = torch.eye(10, dtype=x.dtype)[labels]
            loss = keras.losses.categorical_crossentropy(one_hot, torch.softmax(x, 1)).mean()
        loss.backward()
        found.append([loss.item(), x.grad.numpy().astype(float).tolist()])
    return found

def confident(p):  # in class 0, all others alike
    return [[math.log(9 * p / (1 - p)), *[0.0] * 9]], [0]

cases = {
    "ordinary": (np.random.default_rng(0).normal(0, 2, (60, 10)).tolist(), [*range(10)] * 6),
    "nearly right": confident(1 - 1e-4),
    "wrong": confident(1e-9),
    "right": confident(1 - 1e-9),
}
print(json.dumps({
    f"{name} {dtype}": both(*case, dtype)
    for name, case in cases.items()
    for dtype in ("float64", "float32")
}))
"""
    found = in_keras(program, make_cell(implementation="article_keras", backend="torch"))

    def apart(case: str) -> tuple[float, float]:
        (loss, gradient), (their_loss, their_gradient) = found[case]
        norm, difference = np.array(gradient), np.subtract(gradient, their_gradient)
        return abs(their_loss / loss - 1), float(np.linalg.norm(difference) / np.linalg.norm(norm))

    assert max(*apart("ordinary float64"), *apart("nearly right float64")) < 1e-11
    assert max(apart("ordinary float32")) < 1e-6
    # 1 - 1e-4 has few digits left to say how far it is from 1
    assert 1e-5 < max(apart("nearly right float32")) < 1e-2
    for dtype in ("float64", "float32"):
        (loss, gradient), (clipped, none) = found[f"wrong {dtype}"]
        assert loss == pytest.approx(-math.log(1e-9), rel=1e-6)
        assert clipped == pytest.approx(-math.log(1e-7), rel=1e-6)
        assert np.abs(gradient).max() == pytest.approx(1)
        assert not np.any(none)
        (loss, _), (clipped, none) = found[f"right {dtype}"]
        assert loss < 2e-9
        assert clipped == pytest.approx(1e-7, rel=0.25)
        assert not np.any(none)


def test_the_references_clipped_loss_is_keras_s() -> None:
    logits = np.array([[math.log(9e-9), *[0.0] * 9], [1.0, *[0.0] * 9]])
    labels = np.array([0, 0])
    loss, gradient = clipped_cross_entropy(logits, labels)
    alone, alone_gradient = softmax_cross_entropy(logits[1:], labels[1:])
    assert loss == pytest.approx((alone - math.log(LEAST_PROBABILITY)) / 2)
    assert not gradient[0].any()
    assert gradient[1] == pytest.approx(alone_gradient[0] / 2)
