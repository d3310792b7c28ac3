"""Whether the effective settings of a row contradict its label, and which variable is the cause.

Settings are read back in the worker (`bench.worker.settings`). Their entry `environment` holds the
variables that reached it and that libraries heed, as a shell would take them.
"""

import shlex
from collections.abc import Mapping

from bench.cells import Cell

# They take a compiler away from a mode that has one, or give one to a mode that has none.
COMPILERS = (
    *("TORCHDYNAMO_DISABLE", "TORCH_COMPILE_DISABLE", "TORCHDYNAMO_SUPPRESS_ERRORS"),
    *("TORCH_COMPILE_BACKEND", "TORCH_COMPILE_OVERRIDE_BACKENDS", "PYTORCH_JIT"),
    *("JAX_DISABLE_JIT", "TF_XLA_FLAGS"),
)
# They have an engine compute in another precision than the label says.
PRECISIONS = (
    *("NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"),
    *("JAX_ENABLE_X64", "JAX_DEFAULT_MATMUL_PRECISION", "JAX_DEFAULT_DTYPE_BITS"),
    *("JAX_NUMPY_DTYPE_PROMOTION", "TF_ENABLE_AUTO_MIXED_PRECISION"),
    *("TF_AUTO_MIXED_PRECISION_GRAPH_REWRITE_LEVEL", "TF_SET_ONEDNN_FPMATH_MODE"),
    *("ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE"),
)
# Setting -> the variables that decide it, each with the words one of which its value then holds
CAUSES: dict[str, dict[str, tuple[str, ...]]] = {
    "jit": dict.fromkeys(COMPILERS, ("",)),
    "precision": dict.fromkeys(PRECISIONS, ("",)),
    "threads": {
        "XLA_FLAGS": ("host_platform_device_count", "multi_thread_eigen", "parallel_codegen"),
        **dict.fromkeys(("OMP_THREAD_LIMIT", "OMP_DYNAMIC", "MKL_DYNAMIC"), ("",)),
    },
    "onednn": {"TF_ENABLE_ONEDNN_OPTS": ("",), "TF_DISABLE_MKL": ("",)},
    "malloc": {"LD_PRELOAD": ("",), "GLIBC_TUNABLES": ("malloc",)},
    "cudnn_autotune": {"XLA_FLAGS": ("autotune",), "TF_CUDNN_USE_AUTOTUNE": ("",)},
}

COMPILED = ("compiled", "reduce-overhead", "max-autotune", "cuda-graph-compiled")
# Label of a precision -> what the parameters and the computation must be held in.
DTYPES = {
    "fp32": ("float32", "float32"),
    "tf32": ("float32", "float32"),
    "bf16": ("float32", "bfloat16"),
    "fp16": ("float32", "float16"),
}


def contradictions(cell: Cell, settings: Mapping[str, str]) -> list[str]:
    """Where a row is not what its mode or its precision says: a sentence each, with its remedy."""
    return _mode(cell, settings) + _precision(cell, settings)


def cause(setting: str, settings: Mapping[str, str]) -> str | None:
    """The variable in the row's environment that decides a setting, `NAME=value`; None: none."""
    try:
        words = shlex.split(settings.get("environment", ""))
    except ValueError:  # a user's own, which is no such list
        return None
    for word in words:
        name, _, value = word.partition("=")
        if any(each in value for each in CAUSES.get(setting, {}).get(name, ())):
            return word
    return None


def remedy(setting: str, settings: Mapping[str, str], otherwise: str) -> str:
    """`unset OMP_DYNAMIC=true` where a variable decides a setting, else what `otherwise` says."""
    variable = cause(setting, settings)
    return f"unset {variable}" if variable else otherwise


def _mode(cell: Cell, settings: Mapping[str, str]) -> list[str]:
    jit = settings.get("jit")
    if cell.mode in COMPILED and jit == "none":
        otherwise = "have it compile, or name its compiler as `jit` in its method settings"
        return [f"nothing was compiled in mode {cell.mode}: {remedy('jit', settings, otherwise)}"]
    # the author of a file chooses what its other modes are
    if cell.mode not in COMPILED and jit not in (None, "", "none") and not _users(cell):
        otherwise = "compare under --mode compiled"
        return [f"{jit} compiled it in mode {cell.mode}: {remedy('jit', settings, otherwise)}"]
    return []


def _precision(cell: Cell, settings: Mapping[str, str]) -> list[str]:
    found = []
    for kernels in ("convolution", "matmul"):
        if cell.precision == "fp32" and settings.get(f"tf32_{kernels}") == "on":
            otherwise = "turn it off, or compare under --precision tf32"
            found.append(
                f"TF32 is on in its {kernels}s under the label fp32: "
                f"{remedy('precision', settings, otherwise)}"
            )
    if cell.precision == "tf32" and settings.get("tf32_convolution") == "off":
        found.append(
            "TF32 is off in its convolutions under the label tf32: "
            f"{remedy('precision', settings, 'turn it on')}"
        )
    for what, wanted in zip(
        ("parameters", "computation"), DTYPES.get(cell.precision, ()), strict=False
    ):
        if settings.get(what, wanted) != wanted:
            otherwise = "correct its dtype, or compare under another --precision"
            found.append(
                f"{what} in {settings[what]}, where {cell.precision} means {wanted}: "
                f"{remedy('precision', settings, otherwise)}"
            )
    return found


def _users(cell: Cell) -> bool:
    return cell.implementation.endswith(".py")
