"""The article's pair: two networks that look alike, and what tells them apart."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from bench.cells import Cell, contenders, obstacle
from bench.child import environment
from resnet_impls.architecture import ARCHITECTURES
from resnet_impls.article_torch import Implementation
from resnet_impls.catalogue import CATALOGUE
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
        env=os.environ | environment(cell),
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
    found = in_keras(program, make_cell(backend="torch"))
    assert found["all"] == 197_418
    assert found["trainable"] == 196_298
    biases = {f"{conv.name}.bias" for conv in RESNET14.convs}
    assert set(found["tensors"]) == {*RESNET14.parameters, *RESNET14.statistics, *biases}
    assert found["rate"] == 0.25


def test_the_pytorch_model_takes_another_learning_rate() -> None:
    built = Implementation(RESNET14, initial_weights(RESNET14, 0), **options())
    built.set_learning_rate(0.25)
    assert [group["lr"] for group in built.optimizer.param_groups] == [0.25]


def test_exhibits_run_where_they_are_named_only(
    make_cell: MakeCell,
) -> None:
    exhibits = [name for name, row in CATALOGUE.items() if row.exhibit]
    assert exhibits == ["article_torch", "article_keras"]
    assert {row.name for row, _ in contenders(["all"])} == CATALOGUE.keys() - set(exhibits)
    assert [row.name for row, _ in contenders(exhibits)] == ["article_torch"] + [
        "article_keras"
    ] * 3
    other = make_cell(implementation="article_torch", backend="torch", model="resnet20")
    found = obstacle(other)
    assert found
    assert found[0] == "unsupported"
