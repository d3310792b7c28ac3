"""The types of the wire: what comes out of it is what went in, or is refused by its field."""

from typing import Any, get_args

import pytest

from bench.cells import Cell
from bench.executables import Executable
from bench.worker import protocol
from bench.worker.protocol import (
    ANSWERS,
    AnyRequest,
    Audit,
    Block,
    BlockTimed,
    Build,
    Certify,
    Describe,
    Evaluate,
    Failed,
    Finish,
    Finished,
    Latency,
    PeaksProbed,
    ProbePeaks,
    WarmedUp,
    WarmUp,
    WorkerRequest,
)

EXECUTABLE = Executable(
    implementation="torch_module",
    backend="torch",
    mode="eager",
    model="resnet14",
    device="cpu",
    precision="fp32",
    optimizer=None,
    recipe=None,
)


@pytest.fixture
def cell() -> Cell:
    return Cell(
        **protocol.msgspec.to_builtins(EXECUTABLE),
        workload="infer",
        batch_size=64,
        weights=None,
        dataset="digits",
        seed=0,
        steps=10,
    )


def test_every_request_arrives_as_it_was_sent(cell: Cell) -> None:
    assert cell.label  # which a cell remembers, and is no part of it
    requests: list[WorkerRequest[Any]] = [
        Build(cell=cell, data_folder="data", memory_mib=100.0),
        WarmUp(steps=0),
        Block(steps=3),
        Evaluate(),
        Finish(weights_file="weights"),
        Latency(steps=1),
        Audit(step_s=0.1),
        Certify(executable=EXECUTABLE, problem_file="problem"),
        Describe(executable=EXECUTABLE),
        ProbePeaks(device="cpu", precision="fp32"),
    ]
    for request in requests:
        assert protocol.request_of(protocol.encode(request)) == request
    assert {type(request) for request in requests} == set(get_args(AnyRequest)) == set(ANSWERS)
    assert [request.name for request in requests[:2]] == ["build", "warm_up"]


def test_an_answer_is_the_one_to_its_request_or_a_failure() -> None:
    timed = BlockTimed(block_s=0.5, cpu_s=0.0, host_mib=100.0)
    assert protocol.answer_of(protocol.encode(timed), Block(steps=3)) == timed
    failed = Failed(status="oom", reason="none left")
    assert protocol.answer_of(protocol.encode(failed), Block(steps=3)) == failed
    with pytest.raises(ValueError, match="Invalid value 'block_timed'"):
        protocol.answer_of(protocol.encode(timed), Finish())


# JSON texts of a good answer's fields
BLOCK = {"answer": '"block_timed"', "block_s": "1.0", "cpu_s": "1.0", "host_mib": "1.0"}


@pytest.mark.parametrize(
    ("field", "text", "told"),
    [
        ("cpu_s", None, "required field cpu_s"),
        ("cpu_s", '"long"', "cpu_s: "),
        ("cpu_s", "-1.0", "cpu_s: "),
        ("block_s", None, "required field block_s"),
        ("block_s", "0", "block_s: "),
        ("block_s", "null", "block_s: "),
        ("block_s", "NaN", "JSON has no NaN"),
        ("block_s", "1" + "0" * 400, "block_s: "),
        ("block_s", "1e400", "block_s: "),
        ("block_s", "1e15", "block_s: "),
        ("wait_s", "true", "wait_s: "),
        ("block_ms", "1.0", "unknown field block_ms"),
        ("answer", None, "required field answer"),
        ("answer", '"warmed_up"', "answer: Invalid value 'warmed_up'"),
    ],
)
def test_a_block_that_cannot_be_is_refused_by_its_field(
    field: str, text: str | None, told: str
) -> None:
    fields = {name: value for name, value in (BLOCK | {field: text}).items() if value}
    line = "{" + ", ".join(f'"{name}": {value}' for name, value in fields.items()) + "}"
    assert told in refusal(line, Block(steps=1))


@pytest.mark.parametrize(
    ("request_", "line", "told"),
    [
        (WarmUp(steps=1), '{"answer": "warmed_up", "first_step_s": 1.0}', "field warmup_s"),
        (Evaluate(), '{"answer": "evaluated", "accuracy": 1.5, "evaluation_s": 1}', "accuracy: "),
        (Latency(steps=1), '{"answer": "steps_timed", "latency_ms": []}', "latency_ms: "),
        (Latency(steps=1), '{"answer": "steps_timed", "latency_ms": [1, 0]}', "latency_ms[1]: "),
        (Finish(), '{"answer": "finished", "host_peak_mib": 1, "losses": [null]}', "losses[0]: "),
        (Finish(), '{"answer": "failed", "status": "ok", "reason": "x"}', "status: "),
        (Finish(), '{"answer": "failed", "status": "oom"}', "field reason"),
        (Finish(), "[]", "got array"),
        (Finish(), "Epoch 1/3", "not JSON"),
        (Finish(), "[" * 100_000, "got array"),
        (Finish(), "\udcff", "not JSON"),
    ],
)
def test_what_is_no_answer_is_refused(request_: WorkerRequest[Any], line: str, told: str) -> None:
    assert told in refusal(line, request_)


def refusal(line: str, request: WorkerRequest[Any]) -> str:
    """Why a line is no answer to a request, in one line."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 each line has its own message
        protocol.answer_of(line.encode("utf-8", "surrogateescape"), request)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_a_number_that_json_does_not_have_is_not_sent_as_another() -> None:
    import numpy as np

    values: list[Any] = [np.float64(1.0), np.float32(1.0)]
    for value in values:
        with pytest.raises(TypeError):
            protocol.encode(
                PeaksProbed(
                    sustained_gflop_per_s=1.0, gflop_per_s=value, library="x", copy_gb_per_s=1.0
                )
            )
    # msgspec writes what is no number as null, which no answer may hold there
    lost = protocol.encode(Finished(host_peak_mib=1.0, losses=(float("nan"),)))
    with pytest.raises(ValueError, match=r"losses\[0\]"):
        protocol.answer_of(lost, Finish())


def test_unknown_is_none_where_it_may_be() -> None:
    answer = WarmedUp(
        first_step_s=1.0, warmup_s=None, warmup_steps=0, step_s=None, host_mib=1.0, settings={}
    )
    assert protocol.answer_of(protocol.encode(answer), WarmUp(steps=0)) == answer
