"""The certificate: does an implementation compute what `resnet_impls.numpy_reference` computes?

Both start from the same weights, see the same batches, and are compared by relative L2 error after
1, 5 and 20 optimizer steps, in which the learning rate changes as in the whole run. It has two
halves. In float64 rounding is far below any difference of meaning, so that half proves the
semantics; in the precision that is timed, with the mode and the layout that are timed, the other
half proves that this very executable computes that function.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, Unpack

import numpy as np

from bench.data import recipes
from bench.executables import Training
from bench.identity.limits import LIMITS, ROUNDING_ROOM
from bench.identity.problem import STEPS, Problem, Solution, learning_rates
from resnet_impls.contract import Implementation, Options, skipped_steps
from resnet_impls.weights import Weights

# A step of SGD from rest shows the gradient, (before - after) / rate; a power of two costs no
# rounding, and a large one lifts the gradient above the rounding of the weights.
GRADIENT_RATE = 1024.0


class Build(Protocol):
    """Builds what is certified."""

    def __call__(
        self, weights: Weights, optimizer: str, learning_rate: float, **options: Unpack[Options]
    ) -> Implementation: ...


@dataclass(frozen=True)
class Check:
    """One comparison with the reference."""

    name: str
    error: float
    limit: float

    @property
    def passed(self) -> bool:
        return self.error <= self.limit  # False for nan


def checks(
    build: Build,
    problem: Problem,
    solution: Solution,
    training: Training,
    precision: str,
) -> list[Check]:
    """Compare an implementation with the reference; those with a limit for `precision`, in order.

    `solution` is that of `training`. Raises whatever the implementation raises.
    """
    limits = dict(LIMITS[precision])
    if precision == "fp32":
        for name, error in zip(("gradients", "worst gradient"), solution.rounding, strict=True):
            limits[name] = max(limits[name], ROUNDING_ROOM * error)
    dtype = np.float64 if precision == "fp64" else np.float32
    start = {name: value.astype(dtype) for name, value in problem.weights.items()}
    images, labels = problem.images.astype(dtype), problem.labels
    errors = {
        name: error
        for name, error in _errors(build, start, images, labels, solution, training)
        if name in limits
    }
    return [Check(name, float(errors[name]), limits[name]) for name in limits]


def _errors(
    build: Build,
    start: Weights,
    images: np.ndarray,
    labels: np.ndarray,
    solution: Solution,
    training: Training,
) -> Iterator[tuple[str, float]]:
    rates = learning_rates(training)
    options = recipes.options(training, rates)
    trained = build(start, training.optimizer, float(rates[0]), **options)
    if training.schedule:
        rates = np.full(STEPS[-1], rates[0])  # it has the schedule itself: nothing is set
    yield "tensors", odd(trained.weights(), start)

    trained.place(images[:1], labels[:1])
    yield "evaluation logits", relative(trained.predict(images[0]), solution.logits)
    yield "logits of infer", relative(trained.infer(1), solution.logits)
    trained.place(images, labels)

    losses = np.empty(0, np.float32)
    for earlier, step in pairwise((0, *STEPS)):
        before = rates[max(0, earlier - 1)]  # the rate in force
        losses = np.append(losses, train(trained, before, rates[earlier:step].tolist()))
        ours, theirs = trained.weights(), solution.weights[step]
        yield "loss of step 1", relative(losses[:1], solution.losses[:1])
        for what, names in (
            ("parameters", solution.gradients),
            ("statistics", theirs.keys() - solution.gradients.keys()),
        ):
            error = relative(flat(ours, names), flat(theirs, names))
            yield f"{what} after step {step}", error
    yield "losses of 20 steps", relative(losses, solution.losses)
    yield "skipped steps", skipped_steps(trained)

    plain = Training("sgd", label_smoothing=training.label_smoothing)
    stepped = build(start, "sgd", GRADIENT_RATE, **recipes.options(plain, rates))
    stepped.place(images[:1], labels[:1])
    stepped.train(1)
    after = stepped.weights()
    ours = {
        name: (np.float64(start[name]) - after[name]) / GRADIENT_RATE for name in solution.gradients
    }
    g, reference = flat(ours, ours), flat(solution.gradients, ours)
    yield "gradients", relative(g, reference)
    worst = max(relative(ours[name], solution.gradients[name]) for name in ours)
    yield "worst gradient", worst
    norm, reference_norm = np.linalg.norm(g), np.linalg.norm(reference)
    yield "gradient direction", float(1 - g @ reference / (norm * reference_norm))
    yield "gradient norm", float(abs(norm / reference_norm - 1))


def train(implementation: Implementation, rate: float, rates: Iterable[float]) -> np.ndarray:
    """One optimizer step at each of `rates`, in which `rate` is in force at first; losses (steps,).

    As in a run, the rate is set only where it changes. Raises ValueError for too few or too many
    losses.
    """
    losses = []
    for each, steps in recipes.stretches(rates):
        if each != rate:
            implementation.set_learning_rate(each)
            rate = each
        losses.append(implementation.train(steps))
        if np.shape(losses[-1]) != (steps,):
            raise ValueError(f"train({steps}) returned losses of shape {np.shape(losses[-1])}")
    return np.concatenate(losses)


def odd(loaded: Weights, start: Weights) -> int:
    """How many tensors are missing or in excess, or of another shape.

    A bias before a batch norm has no gradient: only the list of tensors gives it away.
    """
    found = loaded.keys() ^ start.keys()
    found |= {
        name for name in loaded.keys() & start.keys() if loaded[name].shape != start[name].shape
    }
    return len(found)


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Relative L2 error of `ours`; infinite where the shapes differ."""
    ours = np.asarray(ours, np.float64)
    if ours.shape != theirs.shape:
        return float("inf")
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


def flat(weights: Mapping[str, np.ndarray], names: Iterable[str]) -> np.ndarray:
    """The tensors of `names`, sorted, as one vector; a missing one counts as nan."""
    missing = np.full(1, np.nan)
    return np.concatenate([np.float64(weights.get(n, missing)).ravel() for n in sorted(names)])
