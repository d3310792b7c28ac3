"""The certificate accepts the same function, and rejects every planted deviation by name."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import deviations
from bench.executables import Training
from bench.identity import checks as identity
from bench.identity import problem
from bench.identity.certificate import Half
from bench.identity.checks import Check
from bench.identity.problem import Problem, Solution
from networks import TINY
from resnet_impls.torch_module import Implementation

SEMANTICS = ["tensors", "evaluation logits", "logits of infer", "loss of step 1"]
GRADIENTS = ["gradients", "worst gradient", "parameters after step 1", "statistics after step 1"]
LATER = [f"{what} after step {step}" for step in (5, 20) for what in ("parameters", "statistics")]
HALF = ["gradient direction", "gradient norm", "statistics after step 1", "losses of 20 steps"]
CHECKS = {
    "fp64": [*SEMANTICS, *GRADIENTS, *LATER, "losses of 20 steps"],
    "fp32": [*SEMANTICS, *GRADIENTS, "losses of 20 steps"],
    "bf16": [*SEMANTICS, *HALF],
    "fp16": [*SEMANTICS, *HALF, "skipped steps"],
}

Posed = tuple[Problem, dict[str, Solution]]


TRAININGS = {
    "adam": Training("adam", "article"),
    "sgd": Training("sgd", "article"),
    "sgd decay": Training("sgd", "augmented", "one-cycle", weight_decay=5e-4, label_smoothing=0.1),
    "adamw": Training("adamw", schedule="cosine", weight_decay=0.05),
}


@pytest.fixture(scope="module")
def posed() -> Posed:
    stated = problem.pose(TINY)
    return stated, {name: problem.solve(stated, each) for name, each in TRAININGS.items()}


def certify(
    contender: type[Implementation], posed: Posed, optimizer: str, precision: str = "fp64"
) -> list[Check]:
    def build(weights, optimizer, learning_rate, **options):
        return contender(
            TINY,
            weights,
            device="cpu",
            precision=precision,
            mode="eager",
            optimizer=optimizer,
            learning_rate=learning_rate,
            **options,
        )

    stated, solutions = posed
    return identity.checks(build, stated, solutions[optimizer], TRAININGS[optimizer], precision)


@pytest.mark.parametrize("optimizer", TRAININGS)
@pytest.mark.parametrize("precision", ["fp64", "fp32", "bf16", "fp16"])
def test_the_same_function_passes_every_check(posed: Posed, optimizer: str, precision: str) -> None:
    checks = certify(Implementation, posed, optimizer, precision)
    assert [check.name for check in checks] == CHECKS[precision]
    assert [check for check in checks if not check.passed] == []


@pytest.mark.parametrize(
    ("deviation", "optimizer", "first_failure"),
    [
        (deviations.AsymmetricPadding, "sgd", "evaluation logits"),
        (deviations.NormEpsilon, "sgd", "evaluation logits"),
        (deviations.NormMomentum, "sgd", "statistics after step 1"),
        (deviations.BiasedVariance, "sgd", "statistics after step 1"),
        (deviations.AdamEpsilon, "adam", "parameters after step 1"),
        (deviations.ConvBias, "adam", "tensors"),
        (deviations.MissingReLU, "sgd", "evaluation logits"),
        (deviations.WrongShortcut, "sgd", "evaluation logits"),
        (deviations.TransposedKernels, "sgd", "evaluation logits"),
        (deviations.ShuffledBatches, "sgd", "parameters after step 5"),
        (deviations.DroppedBatch, "sgd", "parameters after step 5"),
        (deviations.LearningRate, "sgd", "gradients"),
        (deviations.LearningRate, "adam", "gradients"),
        (deviations.WeightDecay, "sgd", "gradients"),
        (deviations.Nesterov, "sgd", "gradients"),
        (deviations.RepeatedStep, "sgd", "gradients"),
        (deviations.BatchStatisticsInEvaluation, "sgd", "evaluation logits"),
        (deviations.BatchStatisticsWhenTimed, "sgd", "logits of infer"),
        (deviations.ScaledLogits, "sgd", "evaluation logits"),
        (deviations.LabelSmoothing, "sgd", "loss of step 1"),
        (deviations.FrozenHead, "sgd", "gradients"),
        (deviations.SamePadding, "sgd", "evaluation logits"),
        (deviations.NormEpsilonOutside, "sgd", "evaluation logits"),
        (deviations.NormMomentumComplement, "sgd", "statistics after step 1"),
        (deviations.AdamEpsilonBeforeCorrection, "adam", "parameters after step 1"),
        (deviations.Float32Constants, "adam", "parameters after step 5"),
        (deviations.Float32Norms, "sgd", "evaluation logits"),
        (deviations.SummedLoss, "sgd", "gradients"),
        (deviations.DampenedMomentum, "sgd", "parameters after step 5"),
        (deviations.ForgottenMomentum, "sgd", "parameters after step 5"),
        (deviations.RateChangesLate, "adam", "parameters after step 20"),
        (deviations.RateStays, "adam", "parameters after step 20"),
        (deviations.RateInMomentum, "sgd", "parameters after step 20"),
        (deviations.DecayedNorms, "sgd decay", "parameters after step 1"),
        (deviations.DecayedNorms, "adamw", "parameters after step 1"),
        (deviations.DecayedBias, "sgd decay", "parameters after step 1"),
        (deviations.UndecayedHead, "sgd decay", "parameters after step 1"),
        (deviations.UndecayedHead, "adamw", "parameters after step 1"),
        (deviations.ForgottenDecay, "sgd decay", "parameters after step 1"),
        (deviations.DecoupledDecay, "sgd decay", "parameters after step 5"),
        (deviations.UnscaledDecay, "adamw", "parameters after step 1"),
        (deviations.CoupledDecay, "adamw", "parameters after step 1"),
        (deviations.FoldedRates, "sgd decay", "parameters after step 5"),
        (deviations.LateSchedule, "sgd decay", "parameters after step 5"),
        (deviations.LateSchedule, "adamw", "parameters after step 5"),
        (deviations.EarlySchedule, "sgd decay", "parameters after step 1"),
        (deviations.Float32Rates, "adamw", "parameters after step 1"),
        (deviations.ForgottenSmoothing, "sgd decay", "loss of step 1"),
        (deviations.SmoothingOfOthers, "sgd decay", "loss of step 1"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_deviation_is_rejected_by_name(
    posed: Posed, deviation: type[Implementation], optimizer: str, first_failure: str
) -> None:
    failed = [
        c.name for c in certify(deviations.planted(deviation), posed, optimizer) if not c.passed
    ]
    assert failed
    assert first_failure == failed[0]


@pytest.fixture(scope="module")
def decided() -> Posed:
    """As a network is posed that has too many ReLUs for a margin by luck."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(problem, "RELU_INPUTS", 0)
        stated = problem.pose(TINY)
    return stated, {"adam": problem.solve(stated, TRAININGS["adam"])}


@pytest.mark.parametrize("precision", ["fp64", "fp32", "bf16"])
def test_a_network_whose_relus_are_decided_passes_too(decided: Posed, precision: str) -> None:
    assert [c for c in certify(Implementation, decided, "adam", precision) if not c.passed] == []


@pytest.mark.parametrize(
    "deviation",
    [
        *(deviations.AsymmetricPadding, deviations.NormEpsilon, deviations.NormMomentum),
        *(deviations.BiasedVariance, deviations.AdamEpsilon, deviations.ConvBias),
        *(deviations.MissingReLU, deviations.WrongShortcut, deviations.TransposedKernels),
        *(deviations.ShuffledBatches, deviations.LearningRate, deviations.RateChangesLate),
        *(deviations.AdamEpsilonBeforeCorrection, deviations.Float32Constants),
    ],
)
def test_a_deviation_is_rejected_there_too(decided: Posed, deviation: type[Implementation]) -> None:
    checks = certify(deviations.planted(deviation), decided, "adam")
    assert [check for check in checks if not check.passed]


def test_steps_that_loss_scaling_skips_are_counted(
    posed: Posed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resnet_impls.torch_loops.LOSS_SCALE", 2.0**60)
    with np.errstate(invalid="ignore"):  # gradients of length 0 have no direction
        checks = certify(Implementation, posed, "sgd", "fp16")
    failed = {check.name: check.error for check in checks if not check.passed}
    assert failed["skipped steps"] == max(problem.STEPS)
    half = Half(tuple((name, error, 0.0) for name, error in failed.items()))
    assert (
        "20 of 20 steps skipped by loss scaling" in replace(half, checks=half.checks[-1:]).verdict
    )


def test_a_problem_survives_its_file(posed: Posed, tmp_path: Path) -> None:
    stated, solutions = posed
    problem.save(tmp_path / "problem.npz", stated, solutions["adam"])
    read, solution = problem.load(tmp_path / "problem.npz", TINY)
    np.testing.assert_equal(vars(read), vars(stated))
    np.testing.assert_equal(vars(solution), vars(solutions["adam"]))


def test_the_first_batch_keeps_its_margin_and_no_batch_norm_is_trivial(posed: Posed) -> None:
    stated, _ = posed
    forward = problem.Pass(TINY, stated.weights, training=True)
    forward.network(stated.images[0].astype(np.float64))
    assert forward.margin > problem.MARGIN
    assert np.ptp(stated.weights["stem.bn.variance"]) > 0


def test_the_float32_limit_of_gradients_follows_the_references_own_error(posed: Posed) -> None:
    stated, solutions = posed
    every, worst = solutions["sgd"].rounding
    assert 1e-9 < every < worst < 1e-3
    inexact = {name: replace(s, rounding=(1e-3, 1e-2)) for name, s in solutions.items()}
    limits = {
        check.name: check.limit
        for check in certify(Implementation, (stated, inexact), "sgd", "fp32")
    }
    assert limits["gradients"] == identity.ROUNDING_ROOM * 1e-3
    assert limits["worst gradient"] == identity.ROUNDING_ROOM * 1e-2


@pytest.mark.parametrize("wrong", [np.float64("nan"), np.inf])
def test_an_error_that_is_no_number_does_not_pass(wrong: float) -> None:
    assert not Check("logits", wrong, 1.0).passed
