"""How steps are taken on a GPU: what of it a CPU can show.

A CUDA graph is stood in for by a call that reads and writes the memory that a captured one would:
it shows what is copied, which rates and weights are read, and how many steps are taken, and nothing
of CUDA. XLA's loops are real, on a CPU. For TensorRT, PyTorch runs the program that TensorRT is
given.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from networks import TINY
from resnet_impls import flax_nnx, torch_graphs, torch_module
from resnet_impls.weights import initial_weights

BATCH = 6


@pytest.fixture
def replayed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of inputs of every replay."""
    replays: list[int] = []

    def capture(self: object, call: Callable[..., Tensor], inputs: tuple[Tensor, ...]):
        output = torch.zeros(0, dtype=torch.float64)

        def replay() -> None:
            found = call(*inputs)
            output.resize_(found.shape).copy_(found)
            replays.append(len(inputs))

        return output, replay

    monkeypatch.setattr(torch_graphs.Graph, "captured", capture)
    return replays


def built(module, **options):
    weights = initial_weights(TINY, 0)
    found = module.Implementation(
        TINY, weights, device="cpu", precision="fp64", learning_rate=0.01, **options
    )
    stream = np.random.default_rng(0)
    images = stream.standard_normal((3, BATCH, 12, 12, 3), np.float32)
    found.place(images, stream.integers(0, 5, (3, BATCH)).astype(np.int32))
    return found, images


def outcome(implementation, images) -> list[np.ndarray]:
    """Of what a run asks for: steps one by one and many, another rate, both ways to infer."""
    losses = [implementation.train(1), implementation.train(4)]
    implementation.set_learning_rate(0.003)
    losses += [implementation.train(2), implementation.train(5)]
    logits = [implementation.predict(images[1]), implementation.infer(4)]
    return [*losses, *logits, *implementation.weights().values()]


@pytest.mark.parametrize("mode", ["cuda-graph", "cuda-graph-compiled"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_captured_step_takes_the_steps_that_are_asked_for(
    mode: str, optimizer: str, replayed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", lambda model, mode: model)  # which others test
    graphed = outcome(*built(torch_module, mode=mode, optimizer=optimizer))
    eager = outcome(*built(torch_module, mode="eager", optimizer=optimizer))
    for found, expected in zip(graphed, eager, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    assert replayed.count(2) == 12 - 1  # the first step is taken as it is
    assert replayed.count(1) == 1 + 4 - 1  # as is the first pass


def test_a_graph_reads_its_rate_from_a_tensor_where_kernels_do(replayed: list[int]) -> None:
    weights = initial_weights(TINY, 0)
    graphed = torch_module.Implementation(
        TINY,
        weights,
        device="cpu",
        precision="fp32",
        mode="cuda-graph",
        optimizer="adam",
        learning_rate=0.01,
    )
    rate = graphed.optimizer.param_groups[0]["lr"]
    assert isinstance(rate, Tensor)
    graphed.set_learning_rate(0.5)
    assert graphed.optimizer.param_groups[0]["lr"] is rate
    assert float(rate) == 0.5


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_captured_step_follows_a_schedule_with_decay(optimizer: str, replayed: list[int]) -> None:
    options = {
        "optimizer": optimizer,
        "weight_decay": 0.1,
        "label_smoothing": 0.1,
        "learning_rates": np.geomspace(0.01, 0.001, 6),
    }
    found = []
    for mode in ("cuda-graph", "eager"):
        network, _ = built(torch_module, mode=mode, **options)
        losses = [network.train(1), network.train(3), network.train(4)]  # two beyond the last rate
        found.append([*losses, *network.weights().values()])
    for graphed, eager in zip(*found, strict=True):
        np.testing.assert_allclose(graphed, eager, rtol=1e-12, atol=1e-12)
    assert replayed


def test_all_groups_of_a_graph_read_their_rates_from_tensors(replayed: list[int]) -> None:
    graphed = torch_module.Implementation(
        *(TINY, initial_weights(TINY, 0)),
        device="cpu",
        precision="fp32",
        mode="cuda-graph",
        optimizer="sgd",
        learning_rate=0.01,
        weight_decay=0.1,
    )
    rates = [group["lr"] for group in graphed.optimizer.param_groups]
    assert len(rates) == 2
    graphed.set_learning_rate(0.5)
    assert [float(rate) for rate in rates] == [0.5, 0.5]


def looped(
    monkeypatch: pytest.MonkeyPatch, calls: Callable[..., list[np.ndarray]], **options: object
) -> None:
    """What the calls lead to in XLA's loops is what they lead to in Python's."""
    monkeypatch.setattr(flax_nnx, "LOOP", 2)
    implementation, images = built(flax_nnx, mode="compiled", optimizer="sgd", **options)
    begun = [np.array(leaf) for leaf in implementation.state]
    one_by_one = calls(implementation, images)
    assert implementation.program_mib() is None  # of a CPU nobody asks
    implementation.state = [flax_nnx.jnp.array(leaf) for leaf in begun]
    stream = np.random.default_rng(0)
    stream.standard_normal(images.shape, np.float32)
    implementation.place(images, stream.integers(0, 5, (3, BATCH)).astype(np.int32))
    if "learning_rates" not in options:
        implementation.set_learning_rate(0.01)
    implementation.loops = implementation.on_gpu = True
    for found, expected in zip(calls(implementation, images), one_by_one, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
    assert implementation.program_mib() > 0


def test_xla_takes_many_steps_in_one_call_as_it_takes_them_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looped(monkeypatch, lambda network, images: [network.train(1), network.train(7)])


@pytest.mark.long
def test_xlas_loops_follow_a_schedule_with_decay(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"learning_rates": np.geomspace(0.01, 0.001, 6), "weight_decay": 0.1}
    looped(monkeypatch, lambda network, images: [network.train(1), network.train(7)], **options)


@pytest.mark.long
def test_all_that_a_run_asks_for_is_the_same_in_xlas_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    looped(monkeypatch, outcome)


@pytest.mark.parametrize(
    ("program", "call"),
    [
        ("forward", lambda network, images: network.predict(images[0])),
        pytest.param("train_step", lambda network, _: network.train(1), marks=pytest.mark.long),
    ],
)
def test_xla_compiles_its_programs_with_the_commands_that_it_is_to_capture(
    program: str,
    call: Callable[..., np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    options = flax_nnx.graph_options()
    dumping = options | {"xla_dump_to": str(tmp_path), "xla_dump_hlo_as_text": True}
    monkeypatch.setattr(flax_nnx, "graph_options", lambda: dumping)
    network, images = built(flax_nnx, mode="cuda-graph-compiled", optimizer="sgd")
    call(network, images)
    [file] = tmp_path.glob(f"*jit_{program}*.debug_options")
    kinds = [line.split()[1] for line in file.read_text().splitlines() if "command_b" in line]
    assert sorted(kinds) == sorted(network.settings()["command_buffers"].split())
    assert {"CONVOLUTION", "WHILE"} < set(kinds)


def test_a_jax_without_such_commands_says_so_and_does_not_end_its_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(flax_nnx, "COMMANDS", ("FUSION", "TELEPATHY"))
    with pytest.raises(NotImplementedError, match=r"no such graphs: .*'TELEPATHY' is not a valid"):
        built(flax_nnx, mode="cuda-graph-compiled", optimizer="sgd")


@pytest.fixture
def torch_tensorrt_engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The implementation, and as its `given` what TensorRT was to compile, with which options."""
    name = "resnet_impls.torch_tensorrt_engine"
    stand_in, given = ModuleType("torch_tensorrt"), []

    def compiled(program, *, arg_inputs: tuple[Tensor], **options: bool):
        given.append((program, arg_inputs[0], options))
        return program.module()

    stand_in.__dict__.update(dynamo=SimpleNamespace(compile=compiled), __version__="0")
    monkeypatch.setitem(sys.modules, stand_in.__name__, stand_in)
    module = importlib.import_module(name)
    monkeypatch.setattr(module, "given", given, raising=False)
    yield module
    del sys.modules[name]


def test_what_tensorrt_is_given_is_the_network(torch_tensorrt_engine: ModuleType) -> None:
    network, images = built(torch_tensorrt_engine, mode="compiled", optimizer="sgd")
    eager, _ = built(torch_module, mode="eager", optimizer="sgd")
    for found, expected in (
        (network.predict(images[1]), eager.predict(images[1])),
        (network.infer(2), eager.infer(2)),
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    [(_, x, options)] = torch_tensorrt_engine.given
    assert x.is_contiguous()
    assert options == {"disable_tf32": True, "require_full_compilation": True}


@pytest.mark.parametrize(
    ("precision", "dtype"), [("tf32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_tensorrt_is_given_the_types_that_it_is_to_compute_in(
    precision: str, dtype: torch.dtype, torch_tensorrt_engine: ModuleType
) -> None:
    network = torch_tensorrt_engine.Implementation(
        *(TINY, initial_weights(TINY, 0)),
        **{"device": "cpu", "precision": precision, "mode": "compiled"},
        **{"optimizer": "sgd", "learning_rate": 0.0},
    )
    logits = network.predict(np.zeros((BATCH, 12, 12, 3), np.float32))
    [(program, x, options)] = torch_tensorrt_engine.given
    types = {tensor.dtype for tensor in program.state_dict.values() if tensor.is_floating_point()}
    assert types | {x.dtype} == {dtype}
    assert options["disable_tf32"] is (precision != "tf32")
    assert logits.dtype == np.float32
    assert (
        network.settings().items()
        >= {
            "parameters": "float32",
            "computation": str(dtype).removeprefix("torch."),
            "jit": "tensorrt",
        }.items()
    )
