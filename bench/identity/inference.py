"""The certificate of what only infers: is its function the reference's in evaluation mode?

No training amplifies rounding here, so that even float32 logits tell most differences of meaning
from it. What they would miss is small beside a batch norm's variance; a second network, the same
but for weights that shrink the variances to the size of epsilon, shows that too.
"""

import numpy as np

from bench.identity.checks import Build, Check, odd, relative
from bench.identity.limits import LIMITS
from bench.identity.problem import Problem, Solution
from resnet_impls.numpy_reference import Reference
from resnet_impls.weights import Weights

SHRUNK = 2.0**-8  # a power of two, so that shrinking costs no rounding


def checks(build: Build, problem: Problem, solution: Solution, precision: str) -> list[Check]:
    """Compare an implementation that only infers with the reference.

    Raises whatever the implementation raises.
    """
    dtype = np.float64 if precision == "fp64" else np.float32
    images, limits = problem.images.astype(dtype), LIMITS[precision]
    start = {name: value.astype(dtype) for name, value in problem.weights.items()}
    built = build(start, "sgd", 0.0)
    built.place(images, problem.labels)
    error = relative(built.predict(images[0]), solution.logits)
    inferred = relative(built.infer(1), solution.logits)
    found = [
        Check("tensors", odd(built.weights(), start), limits["tensors"]),
        Check("evaluation logits", error, limits["evaluation logits"]),
        Check("logits of infer", inferred, limits["logits of infer"]),
    ]
    if precision in ("fp64", "fp32"):  # half the digits cannot hold such variances
        shrunk = small_variances(start)
        reference = Reference(problem.architecture, shrunk, optimizer="sgd", learning_rate=0.0)
        logits = build(shrunk, "sgd", 0.0).predict(images[1])
        error = relative(logits, reference.predict(images[1]))
        found.append(Check("logits at small variances", error, limits["evaluation logits"]))
    return found


def small_variances(weights: Weights) -> Weights:
    """The network whose convolutions put out `SHRUNK` times as much, and its batch norms' view of
    that: the same function, were there no epsilon.
    """
    factors = {"mean": SHRUNK, "variance": SHRUNK**2}
    shrunk = {}
    for name, value in weights.items():
        factor = factors.get(name.rpartition(".")[2], SHRUNK if value.ndim == 4 else 1.0)
        shrunk[name] = value * value.dtype.type(factor)
    return shrunk
