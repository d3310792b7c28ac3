"""The effective settings of a row, read back from what really ran.

Names are stable and values are short words. A setting that is not known is left out. Facts of an
engine are read here, which compiler really compiled among them; what only an implementation knows
comes from its method `settings`, if it has one.
"""

import contextlib
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from bench.analysis.effective import COMPILERS
from bench.cells import TRAINING, Cell
from bench.machine import cpus
from bench.machine.devices import ACCELERATORS
from resnet_impls import contract
from resnet_impls.catalogue import CATALOGUE
from resnet_impls.contract import Implementation

TASKS = Path("/proc/self/task")
# Lines of HLO from which on a program is a network and no single operation: the largest of those
# that Keras' eager mode compiles has 184, inference of resnet14 695
WHOLE = 300
KEEPS_FREED = 1 << 30  # bytes: a threshold from here on is never reached by a step


def read(cell: Cell, implementation: Implementation) -> dict[str, str]:
    """Every setting that is known of a warm implementation in this process."""
    settings = {"cpus": str(len(cpus.allowed())), "malloc": malloc(), "environment": switched()}
    if cell.device in ACCELERATORS:
        settings["gpu_memory"] = gpu_memory(cell.backend)
    if engine := engine_of(cell, implementation):
        settings |= ENGINES[engine](cell.device)
    own = contract.settings(implementation)
    settings |= {str(name): str(value) for name, value in own.items()}  # a user's may be numbers
    if cell.workload not in TRAINING:
        settings.pop("optimizer", None)  # there is one, but nothing calls it
    return {name: value for name, value in sorted(settings.items()) if value}


def engine_of(cell: Cell, implementation: Implementation) -> str | None:
    """The engine that computes; for a user's file the only one that it has imported.

    Where several are imported it is the only one that the file, or one whose class it takes, has by
    name: TensorFlow imports JAX of its own accord where that is installed.
    """
    if cell.backend in ENGINES or cell.implementation in CATALOGUE:
        return cell.backend if cell.backend in ENGINES else None
    imported = [name for name in ENGINES if name in sys.modules]
    if len(imported) > 1:
        files = (sys.modules[each.__module__] for each in type(implementation).__mro__)
        held = [thing for file in files for thing in vars(file).values()]
        homes = [
            getattr(each, "__module__", None) or getattr(each, "__name__", "") for each in held
        ]
        named = {str(home).partition(".")[0] for home in homes}
        imported = [name for name in imported if name in named]
    return imported[0] if len(imported) == 1 else None


def switched() -> str:
    """The switches of compilers that a file has set in its own process; none are inherited."""
    here = ((name, os.environ.get(name)) for name in COMPILERS)
    return " ".join(f"{name}={shlex.quote(value)}" for name, value in here if value)


def malloc() -> str:
    """Whether glibc keeps freed memory, or returns it as it does by default; empty elsewhere."""
    if sys.platform != "linux":
        return ""
    names = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")
    thresholds = [int(os.environ.get(name) or 0) for name in names]
    preloaded = " preloaded" if os.environ.get("LD_PRELOAD") else ""
    kept = all(threshold >= KEEPS_FREED for threshold in thresholds)
    return ("keeps freed" if kept else "default") + preloaded


def gpu_memory(backend: str) -> str:
    """Whether an engine takes the GPU's memory at its start or as it needs it."""
    as_needed = {
        "torch": True,  # its caching allocator never does otherwise
        "tensorflow": os.environ.get("TF_FORCE_GPU_ALLOW_GROWTH") == "true",
        "jax": os.environ.get("XLA_PYTHON_CLIENT_PREALLOCATE") == "false",
    }
    if backend not in as_needed:
        return ""
    return "as needed" if as_needed[backend] else "preallocated"


def torch(device: str) -> dict[str, str]:
    """PyTorch's threads, libraries, and what its CUDA kernels may do."""
    import torch

    found = {
        "jit": torch_jit(),
        "threads": str(torch.get_num_threads()),
        "interop_threads": str(torch.get_num_interop_threads()),
        "onednn": switch(torch.backends.mkldnn.enabled)
        if torch.backends.mkldnn.is_available()
        else "not built in",
        "mkl": switch(torch.backends.mkl.is_available()),
    }
    if device == "cuda":
        forbidden = os.environ.get("NVIDIA_TF32_OVERRIDE") == "0"
        cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
        found["cudnn_autotune"] = switch(cudnn.benchmark)
        if dynamo := sys.modules.get("torch._dynamo.utils"):  # only where something was compiled
            skipped = dynamo.counters["inductor"]["cudagraph_skips"]
            found["cuda_graphs_skipped"] = str(skipped) if skipped else ""
        for name, of in (("convolution", getattr(cudnn, "conv", cudnn)), ("matmul", matmul)):
            if hasattr(of, "fp32_precision"):  # which knows of the older names, not they of it
                allowed = of.fp32_precision == "tf32"
            else:
                allowed = of.allow_tf32
            found[f"tf32_{name}"] = switch(allowed and not forbidden)
    return found


def torch_jit() -> str:
    """Whether Inductor has generated code that this process runs; `dynamo` where only another
    backend of `torch.compile` has.
    """
    if (inductor := sys.modules.get("torch._inductor.codecache")) and inductor.PyCodeCache.modules:
        return "inductor"
    dynamo = sys.modules.get("torch._dynamo.utils")
    return "dynamo" if dynamo and dynamo.counters["frames"]["ok"] else "none"


def tensorflow(device: str) -> dict[str, str]:
    """TensorFlow's threads, libraries, and what its CUDA kernels may do."""
    import tensorflow

    # 0 where the environment chooses; those threads have no name that they could be counted by
    chosen = tensorflow.config.threading.get_intra_op_parallelism_threads()
    found = {
        "jit": tensorflow_jit(),
        "threads": str(chosen or os.environ.get("TF_NUM_INTRAOP_THREADS", "")),
        "interop_threads": pool("tf_Compute"),
        "onednn": "",
    }
    try:
        from tensorflow.python.util import _pywrap_util_port

        found["onednn"] = switch(_pywrap_util_port.IsMklEnabled())
        if found["onednn"] == "off" and os.environ.get("TF_ENABLE_ONEDNN_OPTS") != "0":
            found["onednn"] = "off by itself"  # as on processors without AVX512-VNNI
    except (ImportError, AttributeError):  # no public name tells
        pass
    if device == "cuda":
        forbidden = os.environ.get("NVIDIA_TF32_OVERRIDE") == "0"
        allowed = tensorflow.config.experimental.tensor_float_32_execution_enabled()
        found["tf32_convolution"] = found["tf32_matmul"] = switch(allowed and not forbidden)
        found["cudnn_autotune"] = switch(os.environ.get("TF_CUDNN_USE_AUTOTUNE", "1") != "0")
    return found


def tensorflow_jit() -> str:
    """Whether XLA has compiled anything: by a function that demands it, by clusters that TensorFlow
    made itself, or by the pool that XLA starts where it first compiles for a CPU.
    """
    import tensorflow
    from tensorflow.python.eager import context

    known = context.context()
    demanded = (
        known.get_function_def(name).attr["_XlaMustCompile"].b
        for name in known.list_function_names()
    )
    clusters = tensorflow.config.optimizer.get_jit()
    return "xla" if clusters or pool("tf_XLAEigen") or any(demanded) else "none"


def jax(device: str) -> dict[str, str]:
    """XLA's threads as JAX starts them, and what its CUDA kernels may do."""
    import jax

    found = {"jit": jax_jit(), "threads": pool("tf_XLAEigen")}
    if device == "cuda":
        forbidden = os.environ.get("NVIDIA_TF32_OVERRIDE") == "0"
        # None, the default, and "default" leave it to XLA, which takes TF32 where there is any
        exact = jax.config.jax_default_matmul_precision in ("highest", "float32")
        found["tf32_convolution"] = found["tf32_matmul"] = switch(not (exact or forbidden))
        flags = dict(
            each.lstrip("-").partition("=")[::2] for each in os.environ.get("XLA_FLAGS", "").split()
        )
        found["cudnn_autotune"] = switch(flags.get("xla_gpu_autotune_level") != "0")
        # an implementation that compiles with others says so itself
        found["command_buffers"] = flags.get("xla_gpu_enable_command_buffer", "default") or "none"
    return found


def jax_jit() -> str:
    """Whether a program was compiled that is more than one operation; empty where none tells."""
    import jax

    if jax.config.jax_disable_jit:
        return "none"
    try:
        programs = jax.local_devices()[0].client.live_executables()
        lines = (each.hlo_modules()[0].to_string().count("\n") for each in programs)
        return "xla" if max(lines, default=0) >= WHOLE else "none"
    except (AttributeError, IndexError, RuntimeError):  # no public name tells
        return ""


ENGINES: dict[str, Callable[[str], dict[str, str]]] = {
    "torch": torch,
    "tensorflow": tensorflow,
    "jax": jax,
}


def pool(name: str) -> str:
    """How many threads of this process are called `name`; empty where the system does not tell."""
    count = 0
    for task in TASKS.glob("*/comm"):  # none where there is no such folder
        with contextlib.suppress(OSError):  # a thread that ended meanwhile
            count += task.read_text().strip() == name
    return str(count or "")


def switch(value: object) -> str:
    return "on" if value else "off"
