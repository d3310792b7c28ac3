"""The certificate accepts the same function, and rejects every planted deviation by name."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from bench import identity, problem
from bench.identity import Check
from bench.problem import Problem, Solution
from resnet_impls.architecture import Architecture, Block, Conv
from resnet_impls.torch_module import Implementation

TINY = Architecture(
    name="tiny",
    image_size=12,
    classes=5,
    stem=Conv("stem.conv", 3, 1, 3, 4),
    max_pool=False,
    stages=(
        (
            Block(
                "stage1.block1",
                (
                    Conv("stage1.block1.residual.conv1", 3, 1, 4, 4),
                    Conv("stage1.block1.residual.conv2", 3, 1, 4, 4),
                ),
                None,
            ),
        ),
        (
            Block(
                "stage2.block1",
                (
                    Conv("stage2.block1.residual.conv1", 3, 2, 4, 8),
                    Conv("stage2.block1.residual.conv2", 3, 1, 8, 8),
                ),
                Conv("stage2.block1.shortcut.conv", 3, 2, 4, 8),
            ),
        ),
    ),
)

Posed = tuple[Problem, dict[str, Solution]]


@pytest.fixture(scope="module")
def posed() -> Posed:
    stated = problem.pose(TINY)
    return stated, {rule: problem.solve(stated, rule, "article") for rule in ("adam", "sgd")}


def certify(
    contender: type[Implementation], posed: Posed, optimizer: str, precision: str = "fp64"
) -> list[Check]:
    def build(weights, optimizer, learning_rate):
        return contender(
            TINY,
            weights,
            device="cpu",
            precision=precision,
            mode="eager",
            optimizer=optimizer,
            learning_rate=learning_rate,
        )

    stated, solutions = posed
    return identity.checks(build, stated, solutions[optimizer], optimizer, "article", precision)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("precision", ["fp64", "fp32", "bf16"])
def test_the_same_function_passes_every_check(posed: Posed, optimizer: str, precision: str) -> None:
    checks = certify(Implementation, posed, optimizer, precision)
    assert [check.name for check in checks] == list(identity.LIMITS[precision])
    assert [check for check in checks if not check.passed] == []


class AsymmetricPadding(Implementation):
    def changed(self) -> None:
        for conv in strided(self.model):
            conv.padding = (0, 0)
            conv.register_forward_pre_hook(lambda _, inputs: F.pad(inputs[0], (0, 1, 0, 1)))


class NormEpsilon(Implementation):
    def changed(self) -> None:
        for norm in norms(self.model):
            norm.eps = 1e-3


class NormMomentum(Implementation):
    def changed(self) -> None:
        for norm in norms(self.model):
            norm.momentum = 0.01


class BiasedVariance(Implementation):
    def changed(self) -> None:
        def correct(norm, inputs, _):
            if norm.training:
                x = inputs[0].detach()
                biased, unbiased = (x.var((0, 2, 3), unbiased=u) for u in (False, True))
                norm.running_var = norm.running_var + norm.momentum * (biased - unbiased)

        for norm in norms(self.model):
            norm.register_forward_hook(correct)


class AdamEpsilon(Implementation):
    def changed(self) -> None:
        if isinstance(self.optimizer, torch.optim.Adam):
            self.optimizer.param_groups[0]["eps"] = 1e-7


class ConvBias(Implementation):
    def changed(self) -> None:
        for conv in (m for m in self.model.modules() if isinstance(m, nn.Conv2d)):
            conv.bias = nn.Parameter(torch.zeros(conv.out_channels, dtype=self.dtype))
            self.optimizer.add_param_group({"params": [conv.bias]})


class MissingReLU(Implementation):
    def changed(self) -> None:
        self.model.get_submodule("stage1.block1.residual").relu1 = nn.Identity()


class WrongShortcut(Implementation):
    def changed(self) -> None:
        shortcut = self.model.get_submodule("stage2.block1.shortcut")
        shortcut.register_forward_hook(lambda _, inputs, outputs: torch.zeros_like(outputs))


class TransposedKernels(Implementation):
    def changed(self) -> None:
        for conv in (m for m in self.model.modules() if isinstance(m, nn.Conv2d)):
            conv.weight.data = conv.weight.data.transpose(2, 3)


class ShuffledBatches(Implementation):
    def place(self, images: np.ndarray, labels: np.ndarray) -> None:
        super().place(
            images[[0, *range(len(images) - 1, 0, -1)]], labels[[0, *range(len(labels) - 1, 0, -1)]]
        )


class DroppedBatch(Implementation):
    def place(self, images: np.ndarray, labels: np.ndarray) -> None:
        super().place(images[: max(1, len(images) - 1)], labels[: max(1, len(labels) - 1)])


class LearningRate(Implementation):
    def changed(self) -> None:
        self.optimizer.param_groups[0]["lr"] *= 1.001


class WeightDecay(Implementation):
    def changed(self) -> None:
        self.optimizer.param_groups[0]["weight_decay"] = 1e-4


class Nesterov(Implementation):
    def changed(self) -> None:
        self.optimizer.param_groups[0]["nesterov"] = True


class RepeatedStep(Implementation):
    def train(self, steps: int) -> np.ndarray:
        return np.concatenate([super(RepeatedStep, self).train(2)[:1] for _ in range(steps)])


class BatchStatisticsInEvaluation(Implementation):
    def predict(self, images: np.ndarray) -> np.ndarray:
        self.model.eval = self.model.train
        return super().predict(images)


class LabelSmoothing(Implementation):
    def changed(self) -> None:
        head = self.model.head
        head.register_forward_hook(lambda _, inputs, logits: logits * 1.0001)


class RateChangesLate(Implementation):
    def set_learning_rate(self, rate: float) -> None:
        super().train(1)
        super().set_learning_rate(rate)


class RateStays(Implementation):
    def set_learning_rate(self, rate: float) -> None:
        pass


class RateInMomentum(Implementation):
    """Keeps momentum times the rate, as Keras does, and so carries old rates along."""

    def set_learning_rate(self, rate: float) -> None:
        group = self.optimizer.param_groups[0]
        for state in self.optimizer.state.values():
            state["momentum_buffer"] *= group["lr"] / rate
        group["lr"] = rate


class FrozenHead(Implementation):
    def changed(self) -> None:
        self.model.head.bias.requires_grad_(False)


def strided(model: nn.Module) -> list[nn.Conv2d]:
    return [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.stride == (2, 2)]


def norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    return [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]


def planted(deviation: type[Implementation]) -> type[Implementation]:
    """`deviation` with its change made once the sound implementation has been built."""
    if not hasattr(deviation, "changed"):
        return deviation

    class Planted(deviation):  # type: ignore[misc, valid-type]
        def __init__(self, *args: object, **options: object) -> None:
            super().__init__(*args, **options)
            self.changed()

    return Planted


@pytest.mark.parametrize(
    ("deviation", "optimizer", "first_failure"),
    [
        (AsymmetricPadding, "sgd", "evaluation logits"),
        (NormEpsilon, "sgd", "evaluation logits"),
        (NormMomentum, "sgd", "statistics after step 1"),
        (BiasedVariance, "sgd", "statistics after step 1"),
        (AdamEpsilon, "adam", "parameters after step 1"),
        (ConvBias, "adam", "tensors"),
        (MissingReLU, "sgd", "evaluation logits"),
        (WrongShortcut, "sgd", "evaluation logits"),
        (TransposedKernels, "sgd", "evaluation logits"),
        (ShuffledBatches, "sgd", "parameters after step 5"),
        (DroppedBatch, "sgd", "parameters after step 5"),
        (LearningRate, "sgd", "gradients"),
        (LearningRate, "adam", "gradients"),
        (WeightDecay, "sgd", "gradients"),
        (Nesterov, "sgd", "gradients"),
        (RepeatedStep, "sgd", "gradients"),
        (BatchStatisticsInEvaluation, "sgd", "evaluation logits"),
        (LabelSmoothing, "sgd", "evaluation logits"),
        (FrozenHead, "sgd", "gradients"),
        (RateChangesLate, "adam", "parameters after step 20"),
        (RateStays, "adam", "parameters after step 20"),
        (RateInMomentum, "sgd", "parameters after step 20"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_deviation_is_rejected_by_name(
    posed: Posed, deviation: type[Implementation], optimizer: str, first_failure: str
) -> None:
    failed = [c.name for c in certify(planted(deviation), posed, optimizer) if not c.passed]
    assert failed
    assert first_failure == failed[0]


def test_a_problem_survives_its_file(posed: Posed, tmp_path: Path) -> None:
    stated, solutions = posed
    problem.save(tmp_path / "problem.npz", stated, solutions["adam"])
    read, solution = problem.load(tmp_path / "problem.npz", TINY)
    assert np.array_equal(read.images, stated.images)
    assert read.weights.keys() == stated.weights.keys()
    assert np.array_equal(
        solution.weights[20]["head.bias"], solutions["adam"].weights[20]["head.bias"]
    )


def test_the_first_batch_keeps_its_margin_and_no_batch_norm_is_trivial(posed: Posed) -> None:
    stated, _ = posed
    forward = problem.Pass(TINY, stated.weights, training=True)
    forward.network(stated.images[0].astype(np.float64))
    assert forward.margin > problem.MARGIN
    assert np.ptp(stated.weights["stem.bn.variance"]) > 0


@pytest.mark.parametrize("wrong", [np.float64("nan"), np.inf])
def test_an_error_that_is_no_number_does_not_pass(wrong: float) -> None:
    assert not Check("logits", wrong, 1.0).passed
