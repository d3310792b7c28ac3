"""The environment that a worker is started with, decided here and nowhere else.

A worker inherits three kinds of variables. Those of PLAIN say where things lie, and not how to
compute. Those that libraries read are passed on, are part of a certificate's key, and stand in the
row. Those that we set go before both. All others stay outside, and so does what turns a cell into
another one (WITHHELD).
"""

import contextlib
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import guardian
from bench.analysis.effective import COMPILERS, PRECISIONS
from bench.cells import Cell
from bench.executables import Executable
from bench.machine import cpus, devices, exclusive
from resnet_impls.devices import DEVICES

PLAIN = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "HOSTNAME", "TZ", "LANG", "LANGUAGE"),
    *("TMPDIR", "TEMP", "TMP", "VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV"),
    *("PYTHONPATH", "PYTHONHOME", "PYTHONNOUSERSITE", "PYTHONUSERBASE", "PYTHONUTF8"),
    *("PYTHONIOENCODING", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "PYTHONWARNINGS"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *("http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"),
    *("NO_PROXY", "ALL_PROXY", "HF_HOME", "TORCH_HOME"),  # the latter hold files from elsewhere
    # what containers of NVIDIA's say of themselves
    *("NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES", "NVIDIA_REQUIRE_CUDA"),
    *("NVIDIA_PRODUCT_NAME", "NVIDIA_BUILD_ID", "CUDA_VERSION"),
    *("MASTER_ADDR", "MASTER_PORT", "GROUP_WORLD_SIZE"),  # torchrun's: where other nodes are
    guardian.VARIABLE,  # each worker gets its own
    exclusive.VARIABLE,
)
PLAIN_BEGINNINGS = ("LC_", "XDG_")
# Beginnings of the names of variables that tell libraries how to compute, or which ones to load
LIBRARIES = (
    *("OMP_", "GOMP_", "OPENBLAS_", "GOTO_", "BLIS_", "MKL_", "ONEDNN_", "DNNL_", "KMP_"),
    *("NUMEXPR_", "NPY_", "VECLIB_", "TBB_", "CUDA_", "NVIDIA_", "CUBLAS_", "CUBLASLT_"),
    *("HIP_", "HSA_", "ROCR_", "MIOPEN_", "ZE_", "SYCL_"),  # AMD's and Intel's
    *("CUDNN_", "NCCL_", "GLOO_", "XLA_", "JAX_", "FLAX_", "TF_", "TORCH_", "TORCHINDUCTOR_"),
    *("TORCHDYNAMO_", "PYTORCH_", "ATEN_", "TRITON_", "KERAS_", "ORT_", "OV_", "OPENVINO_"),
    *("XNNPACK_", "MALLOC_", "GLIBC_TUNABLES", "LD_", "DYLD_"),
    "RESNET_BENCH_",  # what a user's own file may read
)
FOR_INDUCTOR = ("CC", "CXX", "CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "CPATH", "LIBRARY_PATH")

FOREIGN = (
    "TF_VAR_",
    "TF_CLI_",
    "TF_TOKEN_",
    "TF_LOG",
    "TF_DATA_DIR",
    "TF_WORKSPACE",
)  # Terraform's

# What turns a cell into another one -> what to do instead
WITHHELD = {
    **dict.fromkeys(COMPILERS, "choose by --mode"),
    **dict.fromkeys(PRECISIONS, "choose by --precision"),
    # another Keras or device, and steps that are left out or run twice
    **dict.fromkeys(
        (
            *("TF_USE_LEGACY_KERAS", "KERAS_NNX_ENABLED", "JAX_PLATFORM_NAME", "TF_CONFIG"),
            *("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH", "JAX_DEBUG_NANS", "JAX_DEBUG_INFS"),
        ),
        "nothing here stands for it",
    ),
}


@dataclass(frozen=True)
class Environment:
    """All that the environment of a worker depends on."""

    device: str
    precision: str
    threads: int | None = None  # CPUs that the worker may use; None: not chosen
    keras_backend: str | None = None  # None: a user's file, whose author chooses, or no Keras
    world_size: int = 1  # ranks, of which each has a GPU of its own
    beside_others: bool = False  # that run at the same time; then nothing is timed

    @classmethod
    def of(cls, subject: Cell | Executable) -> "Environment":
        """The environment in which a cell is measured, or an executable certified."""
        chosen = subject.backend if subject.backend in ("tensorflow", "jax", "torch") else None
        return cls(
            device=subject.device,
            precision=subject.precision,
            threads=subject.threads if isinstance(subject, Cell) else None,
            world_size=subject.world_size or 1,
            keras_backend=None if subject.implementation.endswith(".py") else chosen,
        )

    def variables(self) -> dict[str, str]:
        """What we set of the environment, before a framework that reads it is imported."""
        settings = {
            "JAX_PLATFORMS": DEVICES[self.device].jax or "cpu",
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
            # by itself it would take a Mac's GPU
            settings["KERAS_TORCH_DEVICE"] = DEVICES[self.device].torch or "cpu"
        if self.world_size > 1 and self.device == "cpu":  # JAX has one process for all ranks
            settings["JAX_NUM_CPU_DEVICES"] = str(self.world_size)
        if self.precision == "fp64":
            settings["JAX_ENABLE_X64"] = "true"
        if self.beside_others:  # else threads that wait take the processor of those that compute
            settings["OMP_WAIT_POLICY"] = "passive"
        settings |= devices.visibility(self.device, self.world_size)
        if self.precision == "fp32":  # else cuDNN, cuBLAS and XLA would round the inputs to TF32
            settings |= {"NVIDIA_TF32_OVERRIDE": "0", "JAX_DEFAULT_MATMUL_PRECISION": "highest"}
        return settings

    def library_variables(self) -> dict[str, str]:
        """The part of the environment that libraries read: what the user set, and what we set, but
        for where temporary files lie.
        """
        return self.users() | self.variables()

    def users(self) -> dict[str, str]:
        """What libraries read and we do not set."""
        ours = self.variables().keys() | temporary_files("", None).keys()
        return {name: value for name, value in tuning(os.environ).items() if name not in ours}

    def of_worker(self, folder: str, compiled: str | None = None) -> dict[str, str]:
        """All variables of a worker whose temporary files lie in `folder`; `compiled` is where it
        finds what an earlier one compiled, if any.
        """
        return plain(os.environ) | self.library_variables() | temporary_files(folder, compiled)


def plain(given: Mapping[str, str]) -> dict[str, str]:
    """Those variables that say where things lie."""
    return {n: v for n, v in given.items() if n in PLAIN or n.startswith(PLAIN_BEGINNINGS)}


def tuning(given: Mapping[str, str]) -> dict[str, str]:
    """Those variables that libraries read and that workers inherit."""
    found = {
        name: value
        for name, value in given.items()
        if (name.startswith(LIBRARIES) or name in FOR_INDUCTOR)
        and name not in PLAIN
        and name not in WITHHELD
        and not name.startswith(FOREIGN)
    }
    flags = found.get("XLA_FLAGS", "")
    if flags and not flags.lstrip().startswith("-"):  # XLA takes the name of a file, too
        with contextlib.suppress(OSError, ValueError):  # which XLA ignores as well
            found["XLA_FLAGS"] = " ".join(Path(flags).read_text(encoding="utf-8").split())
    return found


def stated(variables: Mapping[str, str]) -> str:
    """`OMP_PROC_BIND=true XLA_FLAGS='--a --b'`: variables as a shell would take them."""
    words = (f"{name}={shlex.quote(value)}" for name, value in sorted(variables.items()))
    return " ".join(words).encode("utf-8", "replace").decode()


def withheld() -> list[str]:
    """A line for each variable that is set here and that no worker inherits, though a library
    would heed it.
    """
    return [
        f"{stated({name: os.environ[name]})} does not reach the workers, since it would change "
        f"what is measured: {remedy}"
        for name, remedy in WITHHELD.items()
        if os.environ.get(name)
    ]


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


def temporary_files(folder: str, compiled: str | None) -> dict[str, str]:
    """Have all temporary files lie in `folder`, since a worker that is killed removes none. So
    compilers find nothing of earlier processes', with which a first step of Inductor's would take
    2 s instead of 27, unless they shall find it in `compiled`; and Keras finds no `keras.json` of
    the user's.
    """
    return {
        "TMPDIR": folder,
        "TORCHINDUCTOR_CACHE_DIR": compiled or folder,
        "TRITON_CACHE_DIR": f"{compiled or folder}/triton",
        "JAX_COMPILATION_CACHE_DIR": f"{compiled or folder}/jax",
        "JAX_ENABLE_COMPILATION_CACHE": "true" if compiled else "false",
        "KERAS_HOME": f"{folder}/keras",
    }
