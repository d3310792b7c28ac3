"""One worker as its parent sees it: started, asked for turns, suspended between them, ended."""

import contextlib
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.cells import Cell
from bench.channel import Channel, ChannelClosed
from bench.machine import cpus
from bench.parent.suspension import Suspension

# The positive numbers, or lists of them, that the answer to each turn must hold.
ANSWERS = {
    "build": ("import_s", "build_s", "host_baseline_mib"),
    "warm_up": ("first_step_s", "host_mib"),
    "block": ("block_s",),
    "evaluate": ("evaluation_s",),
    "finish": ("host_peak_mib",),
    "latency": ("latency_ms",),
    "audit": (),
    "certify": (),
    "describe": (),
    "probe": ("gflop_per_s", "copy_gb_per_s"),
}

# How often a waiting parent looks whether the worker still lives: a worker's own children may hold
# the channel open after its death.
LIFE_SIGN_S = 5.0
LAST_LOOK_S = 0.1  # for an answer that is there when the time is up, as after a stop by Ctrl-Z


# Beginnings of the names of variables that tell libraries how to compute
LIBRARIES = (
    *("OMP_", "OPENBLAS_", "MKL_", "ONEDNN_", "DNNL_", "KMP_", "NUMEXPR_", "CUDA_", "NVIDIA_"),
    *("XLA_", "JAX_", "TF_", "TORCH_", "TORCHINDUCTOR_", "PYTORCH_", "TRITON_", "KERAS_"),
    *("CUBLAS_", "CUDNN_"),
)


class Failure(Exception):
    """A worker that will not answer any more: its `status` and `reason` for the record."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def environment(cell: Cell) -> dict[str, str]:
    """Settings that a framework reads from its environment, before it is imported."""
    settings = {
        "JAX_PLATFORMS": cell.device,
        # Take GPU memory as needed: several workers live side by side on one device.
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        # Let glibc keep freed memory: returned after each step, it would have to be mapped and
        # cleared again in the next, which makes PyTorch's inference up to 1.7 times as slow.
        "MALLOC_MMAP_THRESHOLD_": str(largest_mmap_threshold()),
        "MALLOC_TRIM_THRESHOLD_": "4294967296",
        "PYTHONUNBUFFERED": "1",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # as the driver counts, and so machine.gpus
    }
    # At most so much; by itself 0.75, where others take all. JAX refuses both names together.
    if "XLA_CLIENT_MEM_FRACTION" not in os.environ:
        settings["XLA_PYTHON_CLIENT_MEM_FRACTION"] = "0.95"
    settings |= cpus.variables(cell.threads)
    users = cell.implementation.endswith(".py")  # whose author chooses
    if cell.backend in ("tensorflow", "jax", "torch") and not users:
        settings["KERAS_BACKEND"] = cell.backend
        settings["KERAS_TORCH_DEVICE"] = cell.device  # by itself it would take a Mac's GPU
    if cell.precision == "fp64":
        settings["JAX_ENABLE_X64"] = "true"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")
    settings["CUDA_VISIBLE_DEVICES"] = visible[0] if cell.device == "cuda" else ""
    if cell.precision == "fp32":  # else cuDNN, cuBLAS and XLA would round the inputs to TF32
        settings |= {"NVIDIA_TF32_OVERRIDE": "0", "JAX_DEFAULT_MATMUL_PRECISION": "highest"}
    return settings


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


def libraries_environment(cell: Cell) -> dict[str, str]:
    """What the environment of a worker tells its libraries: what the user set, and what we set."""
    users = {name: value for name, value in os.environ.items() if name.startswith(LIBRARIES)}
    return users | environment(cell)


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


class Child:
    """A worker process that runs only while it is asked something.

    It leads a process group within our session, so that a signal reaches whatever it starts, and
    the kernel ends a suspended group (SIGHUP, SIGCONT) should this process be killed. It may
    allocate `memory_mib` at most where that is given.
    """

    def __init__(
        self, cell: Cell, data_folder: Path | None, log: Path, memory_mib: float | None = None
    ) -> None:
        ours, theirs = socket.socketpair()
        self.cell = cell
        self.memory_mib = memory_mib
        self.channel = Channel(ours)
        self.ended = False
        self.temporary = tempfile.TemporaryDirectory(
            prefix="resnet-bench-",
            ignore_cleanup_errors=True,  # a process that is being killed may still write
        )
        with theirs, log.open("ab") as output, cpus.confined(cell.threads):
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bench.worker", str(theirs.fileno())],
                env={**os.environ, **environment(cell), **temporary_files(self.temporary.name)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[theirs.fileno()],
                process_group=0,
            )
        self.suspension = Suspension(self.process.pid)
        folder = data_folder and str(data_folder)
        self.channel.send({"cell": cell.as_dict(), "data_folder": folder, "memory_mib": memory_mib})

    def ask(self, turn: str, timeout_s: float, **request: Any) -> dict[str, Any]:
        """Let the worker run for one turn, and return its answer.

        Raises Failure where the worker reports an error, dies, gives no answer in `timeout_s`
        seconds, or answers nonsense.
        """
        self.begin(turn, **request)
        return self.answer(turn, timeout_s)

    def begin(self, turn: str, **request: Any) -> None:
        """Let the worker run for one turn, whose `answer` is to be fetched."""
        self.suspension.end()
        self._signal(signal.SIGCONT)
        with contextlib.suppress(ChannelClosed):  # `answer` will say so
            self.channel.send({"turn": turn, **request})

    def answer(self, turn: str, timeout_s: float) -> dict[str, Any]:
        """What comes of the turn that was begun, as `ask` returns it; the worker is suspended."""
        try:
            answer = self._wait(time.monotonic() + timeout_s)
        except TimeoutError:
            raise Failure("timeout", f"its {turn} did not end within {timeout_s:g} s") from None
        except ChannelClosed:
            death = self._death()
            # some runtimes do not survive an allocation that fails
            limited = self.memory_mib is not None and death.startswith("killed")
            raise Failure("oom" if limited else "crashed", f"{death} during its {turn}") from None
        except ValueError as error:
            raise Failure("crashed", f"answered its {turn} with garbage: {error}") from None
        self._signal(signal.SIGSTOP)
        self.suspension.begin()
        if "status" in answer:
            raise Failure(str(answer["status"]), str(answer.get("reason")))
        for name in ANSWERS[turn]:
            if not is_positive(answer.get(name)):
                raise Failure("crashed", f"its {turn} answered {name} = {answer.get(name)!r:.80}")
        return answer

    def end(self) -> None:
        """End the worker and whatever it started; safe to call at any time, more than once."""
        if not self.ended:
            self.ended = True
            self._signal(signal.SIGKILL)
            self.process.wait()
            self.channel.close()
            self.temporary.cleanup()

    def _wait(self, deadline: float) -> dict[str, Any]:
        """Sleep until the answer is there, waking now and then to see that the worker lives."""
        while True:
            remaining = deadline - time.monotonic()
            try:
                return self.channel.receive(max(LAST_LOOK_S, min(remaining, LIFE_SIGN_S)))
            except TimeoutError:
                if self.process.poll() is not None:
                    with contextlib.suppress(TimeoutError):
                        return self.channel.receive(LAST_LOOK_S)  # its last words
                    raise ChannelClosed from None
                if remaining <= LIFE_SIGN_S:
                    raise

    def _death(self) -> str:
        try:
            code = self.process.wait(LIFE_SIGN_S)
        except subprocess.TimeoutExpired:
            return "closed its channel"
        if code == -signal.SIGKILL:
            return "killed by SIGKILL (the kernel does this where memory runs out)"
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"

    def _signal(self, number: signal.Signals) -> None:
        # Plain signals to the group and not psutil's suspend: that reaches one process only, and
        # compilers leave helpers behind.
        # macOS permits no signal to a group that has died but was not waited for
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)


def is_positive(value: Any) -> bool:
    """Whether `value` is a finite number above 0, or a list of such."""
    if isinstance(value, list):
        return bool(value) and all(map(is_positive, value))
    return isinstance(value, int | float) and math.isfinite(value) and value > 0
