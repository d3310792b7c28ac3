"""Implementations that deviate from the reference, each in one way that is easy to miss."""

from functools import partial
from itertools import chain

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from resnet_impls.torch_module import Implementation


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


class BatchStatisticsWhenTimed(Implementation):
    def infer(self, steps: int) -> np.ndarray:
        self.model.eval = self.model.train
        try:
            return super().infer(steps)
        finally:
            del self.model.eval


class LabelSmoothing(Implementation):
    def changed(self) -> None:
        self.program.label_smoothing = 1e-4


class ScaledLogits(Implementation):
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


class SamePadding(AsymmetricPadding):
    # the 0, 1 of `padding="same"` on one convolution alone
    def changed(self) -> None:
        conv = self.model.get_submodule("stage2.block1.shortcut.conv")
        conv.padding = (0, 0)
        conv.register_forward_pre_hook(lambda _, inputs: F.pad(inputs[0], (0, 1, 0, 1)))


class NormEpsilonOutside(Implementation):
    """sqrt(v) + epsilon in place of sqrt(v + epsilon)."""

    def changed(self) -> None:
        def forward(norm, x):
            mean, variance = norm.running_mean, norm.running_var
            if norm.training:
                mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
                kept = x.detach().var((0, 2, 3)), x.detach().mean((0, 2, 3))
                norm.running_var.lerp_(kept[0], norm.momentum)
                norm.running_mean.lerp_(kept[1], norm.momentum)
            mean, deviation, scale, bias = (
                t[:, None, None] for t in (mean, variance.sqrt() + norm.eps, norm.weight, norm.bias)
            )
            return (x - mean) / deviation * scale + bias

        for norm in norms(self.model):
            norm.forward = partial(forward, norm)


class NormMomentumComplement(Implementation):
    # 0.9 where PyTorch writes 0.1: the other convention's number
    def changed(self) -> None:
        for norm in norms(self.model):
            norm.momentum = 1 - norm.momentum


class AdamEpsilonBeforeCorrection(Implementation):
    """epsilon added before the bias correction, as Keras does."""

    def train(self, steps: int) -> np.ndarray:
        losses = []
        for _ in range(steps):
            for group in self.optimizer.param_groups:
                if "betas" in group:
                    self.taken = getattr(self, "taken", 0) + 1
                    group["eps"] = 1e-8 / (1 - 0.999**self.taken) ** 0.5
            losses.append(super().train(1))
        return np.concatenate(losses)


class Float32Constants(Implementation):
    """Adam's betas rounded to float32 on their way, as a framework's own cast does."""

    def changed(self) -> None:
        group = self.optimizer.param_groups[0]
        if "betas" in group:
            group["betas"] = tuple(float(np.float32(beta)) for beta in group["betas"])


class Float32Norms(Implementation):
    """Batch norms that compute in float32 whatever the network's precision."""

    def changed(self) -> None:
        for norm in norms(self.model):
            norm.register_forward_hook(lambda _, inputs, y: y.float().to(self.dtype))


class SummedLoss(Implementation):
    """The gradient of a sum over the batch where the mean belongs."""

    def changed(self) -> None:
        for parameter in self.model.parameters():
            parameter.register_hook(lambda g: g * self.size)

    def place(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.size = images.shape[1]
        super().place(images, labels)


class DampenedMomentum(Implementation):
    def changed(self) -> None:
        self.optimizer.param_groups[0]["dampening"] = 0.1


class ForgottenMomentum(Implementation):
    def changed(self) -> None:
        self.optimizer.param_groups[0]["momentum"] = 0.0


class FrozenHead(Implementation):
    def changed(self) -> None:
        self.model.head.bias.requires_grad_(False)


def decaying(optimizer: torch.optim.Optimizer) -> list[dict]:
    """The group of the kernels, where something decays."""
    return [group for group in optimizer.param_groups if group["weight_decay"]]


class DecayedNorms(Implementation):
    """Batch norms and biases decay too, as in torchvision's reference training by default."""

    def changed(self) -> None:
        for group in decaying(self.optimizer):
            self.optimizer.param_groups[1]["weight_decay"] = group["weight_decay"]


class DecayedBias(Implementation):
    """The head's bias decays with its kernel; the batch norms do not."""

    def changed(self) -> None:
        for group in decaying(self.optimizer):
            bias = self.model.head.bias
            others = self.optimizer.param_groups[1]["params"]
            others[:] = [each for each in others if each is not bias]
            group["params"].append(bias)


class UndecayedHead(Implementation):
    def changed(self) -> None:
        for group in decaying(self.optimizer):
            kernel = self.model.head.weight
            group["params"] = [each for each in group["params"] if each is not kernel]
            self.optimizer.param_groups[1]["params"].append(kernel)


class ForgottenDecay(Implementation):
    def changed(self) -> None:
        for group in decaying(self.optimizer):
            group["weight_decay"] = 0.0


class DecoupledDecay(Implementation):
    """SGD's decay apart from the gradient and times the rate, as Keras has it."""

    scaled = True

    def changed(self) -> None:
        for group in decaying(self.optimizer):
            decay, group["weight_decay"] = group["weight_decay"], 0.0
            self.optimizer.register_step_pre_hook(partial(self.shrink, group, decay))

    def shrink(self, group: dict, decay: float, *_: object) -> None:
        for parameter in group["params"]:
            parameter.data *= 1 - decay * (group["lr"] if self.scaled else 1.0)


class UnscaledDecay(DecoupledDecay):
    """AdamW's decay without the rate, as its paper writes it."""

    scaled = False


class CoupledDecay(Implementation):
    """AdamW's decay as a part of the gradient, as Adam has it in PyTorch."""

    def changed(self) -> None:
        for group in decaying(self.optimizer):
            group["decoupled_weight_decay"] = False


class FoldedRates(Implementation):
    """Momentum of gradients times the rates of their steps, as Keras has it, under a schedule."""

    def changed(self) -> None:
        self.program.set_learning_rate = self.fold  # type: ignore[method-assign]

    def fold(self, rate: float) -> None:
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                state = self.optimizer.state[parameter]
                if "momentum_buffer" in state:
                    state["momentum_buffer"] *= group["lr"] / rate
            group["lr"] = rate


class LateSchedule(Implementation):
    """Each step at the rate of the one before, as by a scheduler that steps too late."""

    def changed(self) -> None:
        if self.program.rates:
            first = self.optimizer.param_groups[0]["lr"]
            self.program.rates = chain([first], self.program.rates)


class EarlySchedule(Implementation):
    """Each step at the rate of the next, as by a scheduler that steps before the optimizer."""

    def changed(self) -> None:
        if self.program.rates:
            next(self.program.rates)


class Float32Rates(Implementation):
    def changed(self) -> None:
        if self.program.rates:
            self.program.rates = (float(np.float32(rate)) for rate in self.program.rates)


class ForgottenSmoothing(Implementation):
    def changed(self) -> None:
        self.program.label_smoothing = 0.0


class SmoothingOfOthers(Implementation):
    """The label keeps 1 - s, and the other classes alone share s."""

    def changed(self) -> None:
        classes = self.model.head.out_features
        self.program.label_smoothing *= classes / (classes - 1)


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
