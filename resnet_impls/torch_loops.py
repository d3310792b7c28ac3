"""How PyTorch is driven: weights, precision, optimizers, batches, and the loops over steps.

No network is here: `torch_module` and its siblings each have their own.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

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

    Raises ImportError where this PyTorch has no such device.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ImportError("this PyTorch finds no CUDA device")
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    return torch.device(device)


def autocast_to(precision: str, device: torch.device) -> torch.autocast:
    """A context that computes in bf16 or fp16 if that is the precision, and else does nothing."""
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    return torch.autocast(device.type, half, enabled=half is not None)


def scaler_for(precision: str, device: torch.device) -> torch.GradScaler:
    """Loss scaling for fp16: its first scale skips no step, and no later one is larger."""
    enabled = precision == "fp16"
    return torch.GradScaler(device.type, LOSS_SCALE, growth_interval=10**6, enabled=enabled)


def fused_optimizer(
    name: str, parameters: Iterator[nn.Parameter], learning_rate: float
) -> torch.optim.Optimizer:
    """Adam, or SGD with momentum, that updates all parameters by one kernel."""
    if name == "adam":
        return torch.optim.Adam(parameters, learning_rate, eps=1e-8, fused=True)
    return torch.optim.SGD(parameters, learning_rate, momentum=0.9, fused=True)


def to_device(images: np.ndarray, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(B, H, W, 3) on the host -> (B, 3, H, W) on the device, still channels last in memory."""
    # a copy, since NumPy's memory is not aligned as PyTorch's own kernels like it
    return torch.from_numpy(images).to(device, dtype, copy=True).permute(0, 3, 1, 2)


def train_steps(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[tuple[Tensor, Tensor]],
    autocast: torch.autocast,
    scaler: torch.GradScaler,
) -> np.ndarray:
    """An optimizer step for each batch of images and labels -> their losses (steps,)."""
    losses = []
    for images, labels in batches:
        optimizer.zero_grad()
        with autocast:
            loss = F.cross_entropy(network(images), labels)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.detach())
    return torch.stack(losses).cpu().numpy()  # the copy waits for the device


def infer_steps(
    network: nn.Module, batches: Iterable[Tensor], autocast: torch.autocast
) -> np.ndarray:
    """A forward pass for each batch of images -> the logits of the last (B, classes)."""
    with torch.inference_mode(), autocast:
        for images in batches:
            logits = network(images)
    known = torch.promote_types(logits.dtype, torch.float32)  # NumPy has no bfloat16
    return logits.to(known).cpu().numpy()  # the copy waits for the device


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
