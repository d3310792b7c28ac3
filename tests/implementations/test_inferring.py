"""What only infers, as a cell: what it is certified by, and what a run says of it."""

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bench.identity.certificate import Half
from bench.obstacles import obstacle
from bench.parent.child import Child, Failure
from bench.records.reading import read
from bench.request.matrix import cells_of
from bench.request.request import Request
from bench.worker.protocol import Build
from resnet_impls.catalogue import CATALOGUE

INFERRING = [
    row.name
    for row in CATALOGUE.values()
    if "train" not in row.workloads and "cpu" in row.backends[0].devices
]


@pytest.mark.parametrize("name", INFERRING)
def test_what_only_infers_is_unsupported_in_training_and_certified_by_its_logits(name: str) -> None:
    request = Request(
        impl=(name,), workload=("train", "infer"), device=("cpu",), batch_size=(8,), steps=4
    )
    train, infer = cells_of(request)
    found = obstacle(train)
    assert found is not None
    assert found[0] == "unsupported"
    assert "no workload train, only infer" in found[1]
    assert obstacle(infer) is None
    assert infer.executable == train.executable
    assert (infer.executable.optimizer, infer.executable.recipe) == (None, None)


def test_a_precision_that_is_computed_in_another_is_unsupported(
    start_child: Callable[..., tuple[Child, Build]],
) -> None:
    changes = {"mode": "compiled", "workload": "infer", "optimizer": None, "recipe": None}
    child, build = start_child(
        Path("onnxruntime_engine"),
        implementation="onnxruntime_engine",
        backend="onnxruntime",
        precision="fp16",
        **changes,
    )
    with pytest.raises(Failure, match="compute fp16 in float32") as failure:
        child.ask(build, 120)
    assert failure.value.status == "unsupported"


def test_a_half_says_what_stood_in_for_float64() -> None:
    half = Half((("evaluation logits", 1e-7, 2e-6),), instead="fp32")
    assert half.verdict == "passed in fp32, no float64 there"
    assert replace(half, instead=None).verdict == "passed"
    assert (
        "failed: evaluation logits"
        in replace(half, checks=(("evaluation logits", 1.0, 2e-6),)).verdict
    )


def test_a_run_certifies_and_measures_engines_and_says_what_they_computed_in(
    resnet_bench: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    names = ["onnxruntime_engine", "openvino_engine", "litert_engine"]
    options = ["--profile", "smoke", "--impl", *names, "--threads", 1, "--batch-size", 8]
    finished = resnet_bench("run", *options, "--out", "run")
    assert (finished.returncode, finished.stderr) == (0, "")
    rows = read(tmp_path / "run")
    assert {(row.implementation, row.workload) for row in rows} == {(n, "infer") for n in names}
    assert len(rows) == len(names)
    assert {row.status for row in rows} == {"ok"}
    for row in rows:
        assert row.certificate_float64 == "passed in fp32, no float64 there"
        assert row.certificate_timed == "passed"
        assert row.settings["threads"] == "1"
        assert (row.settings["parameters"], row.settings["computation"]) == ("float32", "float32")
