"""How PyTorch is driven: weights, precision, optimizers, batches, modes, and loops over steps.

No network is here: `torch_module` and its siblings each have their own.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from itertools import chain, repeat
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_impls.devices import DEVICES
from resnet_impls.torch_graphs import Call, Graph
from resnet_impls.weights import Weights

# Canonical leaf name -> PyTorch's. Kernels are HWIO here and OIHW there, the dense one (in, out)
# here and (out, in) there.
LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "variance": "running_var",
}
TO_TORCH = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
FROM_TORCH = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}
LOSS_SCALE = 2.0**10  # of fp16


def torch_name(name: str) -> str:
    """PyTorch's name of a tensor: `stem.conv.kernel` is `stem.conv.weight` there."""
    path, _, leaf = name.rpartition(".")
    return f"{path}.{LEAVES[leaf]}"


def load(model: nn.Module, weights: Weights, names: Mapping[str, str]) -> None:
    """Copy weights into a model; `names` maps each canonical name to the model's."""
    state = model.state_dict()
    for name, value in weights.items():
        state[names[name]].copy_(torch.from_numpy(value.transpose(TO_TORCH[value.ndim])))


def weights_of(model: nn.Module, names: Mapping[str, str]) -> Weights:
    """Copies of a model's tensors; one that is not in `names` keeps its own name."""
    canonical = {theirs: ours for ours, theirs in names.items()}
    tensors = {
        canonical.get(name, name): tensor.cpu().numpy()
        for name, tensor in model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    return {name: x.transpose(FROM_TORCH[x.ndim]).copy() for name, x in tensors.items()}


def set_up(device: str, precision: str) -> torch.device:
    """Find the device, have it tune convolutions, and allow TF32 if that is the precision.

    Raises ImportError as `find` does.
    """
    torch.backends.cudnn.benchmark = True
    if torch.backends.cudnn.is_available():
        torch.backends.cudnn.benchmark_limit = 0  # try all algorithms, not ten
    allow_tf32(precision == "tf32")
    return find(device)


def find(device: str) -> torch.device:
    """PyTorch's device. Raises ImportError where this PyTorch has no such device."""
    kind = str(DEVICES[device].torch)
    if device != "cpu":
        there = torch.accelerator.is_available() and torch.accelerator.current_accelerator()
        if not there or there.type != kind:
            raise ImportError(f"this PyTorch finds no {device} device")
    return torch.device(kind)


def allow_tf32(allowed: bool) -> None:
    """By the older of PyTorch's two interfaces alone: it fails where both were used, as
    `torch.export` does by itself.
    """
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed


def count_no_batches(model: nn.Module) -> None:
    """Have batch norms count no batches: it takes a kernel each, and nothing reads the count where
    the momentum is fixed.
    """
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.num_batches_tracked = None


def autocast_to(precision: str, device: torch.device) -> torch.autocast:
    """A context that computes in bf16 or fp16 if that is the precision, and else does nothing."""
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    return torch.autocast(device.type, half, enabled=half is not None)


def scaler_for(precision: str, device: torch.device) -> torch.GradScaler:
    """Loss scaling for fp16: its first scale skips no step, and no later one is larger."""
    enabled = precision == "fp16"
    return torch.GradScaler(device.type, LOSS_SCALE, growth_interval=10**6, enabled=enabled)


def decaying(model: nn.Module, weight_decay: float) -> Iterable[Any]:
    """Parameters as an optimizer takes them: the kernels decay, batch norms and biases do not."""
    if not weight_decay:
        return model.parameters()
    kernels = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    return [
        {"params": kernels, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def fused_optimizer(
    name: str, parameters: Iterable[Any], learning_rate: float | Tensor, graphed: bool
) -> torch.optim.Optimizer:
    """Adam, AdamW, or SGD with momentum, that updates all parameters of a group by one kernel;
    `graphed`: so that a CUDA graph can capture it.
    """
    if name == "sgd":
        return torch.optim.SGD(parameters, learning_rate, momentum=0.9, fused=True)
    rule = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    return rule(parameters, learning_rate, eps=1e-8, fused=True, capturable=graphed)


def to_device(images: np.ndarray, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(B, H, W, 3) on the host -> (B, 3, H, W) on the device, still channels last in memory."""
    # a copy, since NumPy's memory is not aligned as PyTorch's own kernels like it
    return torch.from_numpy(images).to(device, dtype, copy=True).permute(0, 3, 1, 2)


class Program:
    """A model with its optimizer, driven in one of the modes.

    `compiled` is Inductor's, of network and loss together, as are `reduce-overhead` and
    `max-autotune`. `cuda-graph` captures the whole step of `eager`, the optimizer's part included,
    `cuda-graph-compiled` that of `compiled`.
    """

    def __init__(
        self,
        model: nn.Module,
        device: torch.device,
        *,
        precision: str,
        mode: str,
        optimizer: str,
        learning_rate: float,
        weight_decay: float,
        label_smoothing: float,
        learning_rates: np.ndarray | None,
    ) -> None:
        count_no_batches(model)
        self.model, self.network = model, model
        self.label_smoothing = label_smoothing
        self.rates: Iterator[float] | None = None  # of the steps to come, where there is a schedule
        if learning_rates is not None:
            self.rates = chain(learning_rates.tolist(), repeat(float(learning_rates[-1])))
        self.autocast, self.scaler = autocast_to(precision, device), scaler_for(precision, device)
        self.loss_of = self.cross_entropy
        if mode not in ("eager", "cuda-graph"):
            option = None if mode in ("compiled", "cuda-graph-compiled") else mode
            self.network = torch.compile(model, mode=option)
            self.loss_of = torch.compile(self.cross_entropy, mode=option)
        rate: float | Tensor = learning_rate
        self.one_step: Call = self.step
        self.one_pass: Call = self.network
        self.around_passes: AbstractContextManager = self.autocast  # casts weights once for all
        graphed = mode.startswith("cuda-graph")
        if graphed:
            self.one_step, self.one_pass = Graph(self.step), Graph(self.logits)
            self.around_passes = nullcontext()  # a graph casts them itself: they may have changed
            if next(model.parameters()).dtype != torch.float64:  # kernels read it as a float32
                rate = torch.tensor(learning_rate, device=device)
        parameters = decaying(model, weight_decay)
        self.optimizer = fused_optimizer(optimizer, parameters, rate, graphed)

    def cross_entropy(self, images: Tensor, labels: Tensor) -> Tensor:
        logits = self.model(images)
        return F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)

    def step(self, images: Tensor, labels: Tensor) -> Tensor:
        """An optimizer step -> the loss before it."""
        self.optimizer.zero_grad()
        with self.autocast:
            loss = self.loss_of(images, labels)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.detach()

    def logits(self, images: Tensor) -> Tensor:
        with self.autocast:
            return self.network(images)

    def set_learning_rate(self, rate: float) -> None:
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)  # where a graph reads it
            else:
                group["lr"] = rate
                if isinstance(self.one_step, Graph):
                    self.one_step.forget()

    def train(self, batches: Iterable[tuple[Tensor, Tensor]]) -> np.ndarray:
        """An optimizer step for each batch of images and labels -> their losses (steps,)."""
        self.model.train()
        losses = []
        for images, labels in batches:
            if self.rates:
                self.set_learning_rate(next(self.rates))
            losses.append(self.one_step(images, labels).clone())  # a graph writes over its loss
        return torch.stack(losses).cpu().numpy()  # the copy waits for the device

    def infer(self, batches: Iterable[Tensor]) -> np.ndarray:
        """A forward pass for each batch of images -> the logits of the last (B, classes)."""
        self.model.eval()
        with torch.inference_mode(), self.around_passes:
            for images in batches:
                logits = self.one_pass(images)
        known = torch.promote_types(logits.dtype, torch.float32)  # NumPy has no bfloat16
        return logits.to(known).cpu().numpy()  # the copy waits for the device

    def divide(self, count: int) -> None:
        """Divide the threads among so many callers at once, each of which has its own from there.

        Raises NotImplementedError for a graph, whose memory has room for one.
        """
        if isinstance(self.one_pass, Graph):
            raise NotImplementedError("a CUDA graph answers one request at a time")
        torch.set_num_threads(max(1, torch.get_num_threads() // count))

    def program_mib(self) -> float | None:
        """Memory that the captured step has for itself, in MiB; None without a graph."""
        mib = [call.program_mib for call in (self.one_step, self.one_pass) if type(call) is Graph]
        return max((each for each in mib if each), default=None)

    def settings(self, images: Tensor) -> dict[str, str]:
        """What is in force; `images` as they are placed."""
        return settings_of(self.model, images, self.autocast, self.optimizer, self.scaler)


def settings_of(
    model: nn.Module,
    images: Tensor,
    autocast: AbstractContextManager,
    optimizer: torch.optim.Optimizer | None = None,
    scaler: torch.GradScaler | None = None,
) -> dict[str, str]:
    """What is in force: memory layouts, types, and the optimizer with the steps that it skipped."""
    conv = next(layer for layer in model.modules() if isinstance(layer, nn.Conv2d))
    last = [x.is_contiguous(memory_format=torch.channels_last) for x in (images, conv.weight)]
    with torch.inference_mode(), autocast:
        computed = conv(images).dtype
    found = {
        "layout": f"channels_{'last' if last[0] else 'first'}/{'OHWI' if last[1] else 'OIHW'}",
        "parameters": str(conv.weight.dtype).removeprefix("torch."),
        "computation": str(computed).removeprefix("torch."),
    }
    if optimizer:
        fused = " fused" if optimizer.defaults["fused"] else ""
        found["optimizer"] = type(optimizer).__name__ + fused
    if scaler and scaler.is_enabled():  # each halving of the scale is a step left out
        found["skipped_steps"] = f"{np.log2(LOSS_SCALE / scaler.get_scale()):.0f}"
    return found
