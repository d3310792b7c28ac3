"""Ranks compute what one process does: certified in each framework, and every deviation refused."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import parallel_deviations
from bench.calibrate.certify import certify
from bench.executables import Executable


def failed(batch_norm: str, *names: str) -> dict[str, str | None]:
    """The first check that each kind of ranks fails; None: it fails none."""
    command = [sys.executable, parallel_deviations.__file__, batch_norm, *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return {name: checks[0] if checks else None for name, checks in found.items()}


@pytest.mark.long
def test_synchronised_ranks_pass_and_what_deviates_is_refused() -> None:
    first = {
        "Replica": None,
        "SummedGradients": "gradients",
        "OthersBatch": "logits of infer",
        "Unsynchronised": "loss of step 1",
        "UnsharedGradients": "gradients",
    }
    assert failed("synchronised", *first) == first


@pytest.mark.long
def test_per_replica_ranks_pass_and_what_deviates_is_refused() -> None:
    first = {
        "Replica": None,
        "SummedGradients": "gradients",
        "OthersBatch": "logits of infer",
        "Unsynchronised": "loss of step 1",
        "FirstStatistics": "statistics after step 1",
    }
    assert failed("per-replica", *first) == first


@pytest.mark.long
def test_ranks_on_two_nodes_pass_and_what_deviates_is_refused() -> None:
    """As two jobs of torchrun that meet on the loopback device."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    own = Path(parallel_deviations.__file__)
    path = os.pathsep.join([str(own.parent), str(own.parents[1])])
    nodes = []
    for node in range(2):
        where = f"--nnodes 2 --node-rank {node} --master-addr 127.0.0.1 --master-port {port}"
        what = (
            f"-m resnet_impls.torch_nodes {sys.executable} {own} synchronised Replica OthersBatch"
        )
        command = [sys.executable, "-m", "torch.distributed.run", *where.split(), *what.split()]
        environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        nodes.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    [told, silent] = [node.communicate(timeout=600)[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0]
    found = json.loads(told)
    assert found["Replica"] == []
    assert found["OthersBatch"][0] == "logits of infer"
    assert not silent


PARALLEL = [
    ("torch_module", "torch", "eager"),
    ("tensorflow_module", "tensorflow", "graph"),
    ("flax_nnx", "jax", "compiled"),
    ("keras_functional", "jax", "compiled"),
]


@pytest.mark.long
@pytest.mark.parametrize("batch_norm", ["synchronised", "per-replica"])
@pytest.mark.parametrize(("name", "backend", "mode"), PARALLEL)
def test_two_ranks_are_certified(name: str, backend: str, mode: str, batch_norm: str) -> None:
    """By real workers, in float64 and as timed."""
    executable = Executable(
        name,
        backend,
        mode,
        "resnet14",
        "cpu",
        "fp32",
        "sgd",
        "constant",
        world_size=2,
        batch_norm=batch_norm,
    )
    if (name, batch_norm) == ("keras_functional", "per-replica"):
        assert list(certify([executable], timeout_s=1)) == []  # Keras has none
        return
    [(_, certificate)] = certify([executable], timeout_s=900)
    assert certificate.passed, (certificate.float64.verdict, certificate.timed.verdict)
