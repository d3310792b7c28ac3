"""Records as a run would leave them, for tests that read them."""

from collections.abc import Sequence
from typing import Any

from bench.analysis import statistics
from bench.records import Record

JAX = {
    "implementation": "keras_functional",
    "framework": "Keras",
    "backend": "jax",
    "mode": "compiled",
}
TENSORFLOW = JAX | {"backend": "tensorflow", "mode": "graph"}


def record(**changes: Any) -> Record:
    """A row of `torch_module` that measured nothing yet."""
    values: dict[str, Any] = {
        "run_id": "first",
        "utc": "2026-01-01T00:00:00+00:00",
        "machine": "desk",
        "processor": "Example CPU",
        "implementation": "torch_module",
        "framework": "PyTorch",
        "backend": "torch",
        "mode": "eager",
        "model": "resnet14",
        "workload": "train",
        "device": "cpu",
        "precision": "fp32",
        "batch_size": 64,
        "optimizer": "adam",
        "recipe": "constant",
        "learning_rate": 1e-3,
        "dataset": "digits",
        "seed": 0,
        "steps": 100,
        "replicate": 0,
        "status": "ok",
    }
    return Record(**values | changes)


def timed(block_s: Sequence[float], **changes: Any) -> Record:
    """A row whose blocks of ten steps took `block_s` seconds."""
    values: dict[str, Any] = {
        "cohort": "0",
        "block_s": tuple(block_s),
        "block_steps": (10,) * len(block_s),
        "weights_sha256": "a" * 64,
        "data_sha256": "b" * 64,
    }
    row = record(**values | changes)
    return record(**values | {"throughput_images_per_s": statistics.throughput(row)} | changes)


def processes(block_s: Sequence[float], **changes: Any) -> list[Record]:
    """One row for each of `block_s`, each of a process in a cohort of its own."""
    return [
        timed([seconds], replicate=number, cohort=str(number), **changes)
        for number, seconds in enumerate(block_s)
    ]


def run(**changes: Any) -> dict[str, Any]:
    """What `run.json` holds."""
    machine = {
        "machine": "desk",
        "cpu": "Example CPU",
        "cpu_flags": ["avx2"],
        "physical_cores": 1,
        "logical_cores": 2,
        "memory_gib": 8.0,
        "gpus": [],
        "os": "Linux",
        "python": "3.11.7",
    }
    command = "resnet-bench run --impl torch_module"
    return {"run_id": "first", "command": command, "options": {}, "machine": machine} | changes
