"""Schedules where an implementation knows of none, and options that it does not take."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from bench.cells import Cell
from bench.worker import implementations
from fake_implementation import Implementation
from resnet_impls.architecture import ARCHITECTURES
from resnet_impls.weights import initial_weights

NETWORK = ARCHITECTURES["resnet14"]
RATES = np.array([0.5, 0.25, 0.125])


class Noting(Implementation):
    """Notes the rate of each of its steps."""

    noted: list[float]

    def step(self, features: np.ndarray, labels: np.ndarray) -> float:
        self.__dict__.setdefault("noted", []).append(float(self.learning_rate))
        return super().step(features, labels)


class Settled(Implementation):
    """Its rate cannot be changed."""

    @property
    def set_learning_rate(self) -> None:  # type: ignore[override]
        raise AttributeError("set_learning_rate")


class Smoothing(Noting):
    """Takes options, and notes them."""

    def __init__(self, *arguments: Any, label_smoothing: float = 0.0, **others: Any) -> None:
        super().__init__(*arguments, **others)
        self.smoothing = label_smoothing


def built(make_cell: Callable[..., Cell], kind: type, **options: Any) -> Any:
    module = ModuleType("own")
    module.Implementation = kind  # type: ignore[attr-defined]
    weights = initial_weights(NETWORK, 0)
    return implementations.built(make_cell(), module, NETWORK, weights, "sgd", 0.5, **options)


def test_each_step_has_its_rate_and_those_after_the_last_have_that(
    make_cell: Callable[..., Cell],
) -> None:
    network = built(make_cell, Noting, learning_rates=RATES)
    network.place(np.zeros((2, 4, 32, 32, 3), np.float32), np.zeros((2, 4), np.int32))
    assert network.train(2).shape == (2,)
    assert network.train(3).shape == (3,)
    assert network.noted == [0.5, 0.25, 0.125, 0.125, 0.125]
    assert network.predict(np.zeros((4, 32, 32, 3), np.float32)).shape == (4, 10)


def test_without_options_nothing_stands_between(make_cell: Callable[..., Cell]) -> None:
    assert type(built(make_cell, Noting)) is Noting


def test_a_rate_that_cannot_be_set_is_refused(make_cell: Callable[..., Cell]) -> None:
    with pytest.raises(NotImplementedError, match="set_learning_rate"):
        built(make_cell, Settled, learning_rates=RATES)


def test_what_an_implementation_does_not_take_is_refused_by_name(
    make_cell: Callable[..., Cell],
) -> None:
    network = built(make_cell, Smoothing, label_smoothing=0.1)
    assert network.smoothing == 0.1
    with pytest.raises(NotImplementedError, match="takes no label_smoothing and no weight_decay"):
        built(make_cell, Noting, label_smoothing=0.1, weight_decay=0.1)
