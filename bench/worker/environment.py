"""The environment that a worker is started with: what libraries read before they are imported."""

import os
from dataclasses import dataclass

from bench.cells import Cell, Executable
from bench.machine import cpus

# Beginnings of the names of variables that tell libraries how to compute
LIBRARIES = (
    *("OMP_", "OPENBLAS_", "MKL_", "ONEDNN_", "DNNL_", "KMP_", "NUMEXPR_", "CUDA_", "NVIDIA_"),
    *("XLA_", "JAX_", "TF_", "TORCH_", "TORCHINDUCTOR_", "PYTORCH_", "TRITON_", "KERAS_"),
    *("CUBLAS_", "CUDNN_"),
)


@dataclass(frozen=True)
class Environment:
    """All that the environment of a worker depends on."""

    device: str
    precision: str
    threads: int | None = None  # CPUs that the worker may use; None: not chosen
    keras_backend: str | None = None  # None: a user's file, whose author chooses, or no Keras
    beside_others: bool = False  # that run at the same time; then nothing is timed

    @classmethod
    def of(cls, subject: Cell | Executable) -> "Environment":
        """The environment in which a cell is measured, or an executable certified."""
        chosen = subject.backend if subject.backend in ("tensorflow", "jax", "torch") else None
        return cls(
            device=subject.device,
            precision=subject.precision,
            threads=subject.threads if isinstance(subject, Cell) else None,
            keras_backend=None if subject.implementation.endswith(".py") else chosen,
        )

    def variables(self) -> dict[str, str]:
        """What we set of the environment, before a framework that reads it is imported."""
        settings = {
            "JAX_PLATFORMS": self.device,
            # Take GPU memory as needed: several workers live side by side on one device.
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",
            # Let glibc keep freed memory: returned after each step, it would have to be mapped and
            # cleared again in the next, which makes PyTorch's inference up to 1.7 times as slow.
            "MALLOC_MMAP_THRESHOLD_": str(largest_mmap_threshold()),
            "MALLOC_TRIM_THRESHOLD_": "4294967296",
            "PYTHONUNBUFFERED": "1",
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # as the driver counts, and so machine.gpu
        }
        # At most so much; by itself 0.75, where others take all. JAX refuses both names together.
        if "XLA_CLIENT_MEM_FRACTION" not in os.environ:
            settings["XLA_PYTHON_CLIENT_MEM_FRACTION"] = "0.95"
        settings |= cpus.variables(self.threads)
        if self.keras_backend:
            settings["KERAS_BACKEND"] = self.keras_backend
            settings["KERAS_TORCH_DEVICE"] = self.device  # by itself it would take a Mac's GPU
        if self.precision == "fp64":
            settings["JAX_ENABLE_X64"] = "true"
        if self.beside_others:  # else threads that wait take the processor of those that compute
            settings["OMP_WAIT_POLICY"] = "passive"
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")
        settings["CUDA_VISIBLE_DEVICES"] = visible[0] if self.device == "cuda" else ""
        if self.precision == "fp32":  # else cuDNN, cuBLAS and XLA would round the inputs to TF32
            settings |= {"NVIDIA_TF32_OVERRIDE": "0", "JAX_DEFAULT_MATMUL_PRECISION": "highest"}
        return settings

    def library_variables(self) -> dict[str, str]:
        """The part of the environment that libraries read: what the user set, and what we set."""
        users = {name: value for name, value in os.environ.items() if name.startswith(LIBRARIES)}
        return users | self.variables()


def largest_mmap_threshold() -> int:
    """Bytes from which glibc maps memory for each allocation: up to version 2.34 it ignores more
    than half a heap, and would map all from 128 KiB on.
    """
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (AttributeError, ValueError):  # no glibc
        return 2**32
    old = name == "glibc" and tuple(map(int, version.split(".")[:2])) < (2, 35)
    return 2**25 if old else 2**32


def temporary_files(folder: str) -> dict[str, str]:
    """Have all temporary files lie in `folder`, since a worker that is killed removes none. So
    compilers find nothing of earlier processes', with which a first step of Inductor's would take
    2 s instead of 27.
    """
    return {
        "TMPDIR": folder,
        "TORCHINDUCTOR_CACHE_DIR": folder,
        "TRITON_CACHE_DIR": f"{folder}/triton",
        "JAX_ENABLE_COMPILATION_CACHE": "false",
    }
