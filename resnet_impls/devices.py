"""Kinds of devices, and what each framework calls them. Imports no framework.

What an implementation needs to know of a kind is here. What the instrument needs beyond that, such
as meters and block lengths, is in `bench/machine/devices.py`, which has a row for each of these.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

GRAPHS = "replays CUDA graphs"
_LAUNCHES = {
    "reduce-overhead": f"reduce-overhead {GRAPHS}; {{}} has none",
    "max-autotune": f"max-autotune tries out GPU kernels and {GRAPHS}; {{}} has neither",
    "cuda-graph": f"cuda-graph {GRAPHS}; {{}} has none",
    "cuda-graph-compiled": f"cuda-graph-compiled {GRAPHS}; {{}} has none",
}
_TF32 = {"tf32": "tf32 is a format of NVIDIA GPUs; {} has none"}


def _lacking(who: str, *kinds: Mapping[str, str], **more: str) -> dict[str, str]:
    return {name: why.format(who) for kind in kinds for name, why in kind.items()} | more


@dataclass(frozen=True)
class Device:
    """One kind of device; None or nothing where a framework has no such device."""

    name: str  # as `--device` takes it
    torch: str | None = None  # PyTorch's type
    jax: str | None = None  # JAX's platform
    tensorflow: str | None = None  # TensorFlow's type
    onnxruntime: str | None = None  # ONNX Runtime's execution provider
    collectives: str | None = None  # PyTorch's library by which ranks sum up what they have
    float64: bool = True  # else float32 proves the semantics, as it does for engines
    lacks: Mapping[str, str] = field(default_factory=dict)  # mode or precision -> why


DEVICES: dict[str, Device] = {
    row.name: row
    for row in (
        Device(
            "cpu",
            torch="cpu",
            jax="cpu",
            tensorflow="CPU",
            onnxruntime="CPUExecutionProvider",
            collectives="gloo",
            lacks=_lacking(
                "a CPU",
                _LAUNCHES,
                _TF32,
                fp16="fp16 is for GPUs: on a CPU, these frameworks compute it by way of float32; "
                "take bf16",
            ),
        ),
        Device(
            "cuda",
            torch="cuda",
            jax="cuda",
            tensorflow="GPU",
            onnxruntime="CUDAExecutionProvider",
            collectives="nccl",
        ),
        Device(  # AMD: PyTorch has its GPUs under the name of NVIDIA's
            "rocm",
            torch="cuda",
            jax="rocm",
            tensorflow="GPU",
            onnxruntime="MIGraphXExecutionProvider",
            collectives="nccl",  # which RCCL goes by there
            lacks=_lacking("an AMD GPU", _TF32),
        ),
        Device(  # Apple
            "mps",
            torch="mps",
            float64=False,
            lacks=_lacking("Apple's GPU", _LAUNCHES, _TF32),
        ),
        Device(  # Intel
            "xpu",
            torch="xpu",
            collectives="xccl",
            lacks=_lacking("Intel's GPU", _LAUNCHES, _TF32),
        ),
    )
}


def having(framework: str) -> tuple[str, ...]:
    """The kinds that a framework, one of Device's fields, computes on."""
    return tuple(name for name, row in DEVICES.items() if getattr(row, framework))
