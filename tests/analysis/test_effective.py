"""Settings that contradict a row's label, and the variable that is named as their cause."""

import pytest

from bench.analysis.effective import contradictions, remedy
from builders import record

OFF = {"jit": "none", "environment": "OMP_PROC_BIND=true TORCHDYNAMO_DISABLE=1"}
CONTRADICTIONS = [
    ("compiled", "fp32", OFF, "nothing was compiled in mode compiled: unset TORCHDYNAMO_DISABLE=1"),
    ("reduce-overhead", "fp32", {"jit": "none"}, "have it compile, or name its compiler"),
    (
        "graph",
        "fp32",
        {"jit": "xla", "environment": "TF_XLA_FLAGS='--a=2 --b'"},
        "xla compiled it in mode graph: unset TF_XLA_FLAGS=--a=2 --b",
    ),
    ("eager", "fp32", {"jit": "inductor"}, "compare under --mode compiled"),
    ("eager", "fp32", {"tf32_convolution": "on"}, "TF32 is on in its convolutions"),
    (
        "eager",
        "tf32",
        {"tf32_convolution": "off", "environment": "NVIDIA_TF32_OVERRIDE=0"},
        "unset NVIDIA_TF32_OVERRIDE=0",
    ),
    ("eager", "bf16", {"computation": "float32"}, "where bf16 means bfloat16"),
]


@pytest.mark.parametrize(("mode", "precision", "settings", "said"), CONTRADICTIONS)
def test_a_contradiction_is_one_sentence_with_its_cause(
    mode: str, precision: str, settings: dict[str, str], said: str
) -> None:
    [sentence] = contradictions(record(mode=mode, precision=precision).cell, settings)
    assert said in sentence


def test_what_agrees_is_unknown_or_is_a_users_own_choice_is_none() -> None:
    for mode, jit in (("eager", "none"), ("graph", "none"), ("compiled", "xla")):
        assert contradictions(record(mode=mode).cell, {"jit": jit}) == []
        assert contradictions(record(mode=mode).cell, {}) == []
    own = record(implementation="/home/me/mine.py", backend="mine").cell
    assert contradictions(own, {"jit": "xla"}) == []  # under `eager`, the default of a file


def test_a_variable_is_a_cause_where_its_value_has_to_do_with_the_setting() -> None:
    many = {"environment": "XLA_FLAGS='--xla_force_host_platform_device_count=8 --b'"}
    assert remedy("threads", many, "else") == (
        "unset XLA_FLAGS=--xla_force_host_platform_device_count=8 --b"
    )
    assert remedy("threads", {"environment": "XLA_FLAGS=--xla_dump_to=/tmp"}, "else") == "else"
    assert remedy("threads", {"environment": "of 'my own"}, "else") == "else"
    assert remedy("threads", {}, "else") == "else"
