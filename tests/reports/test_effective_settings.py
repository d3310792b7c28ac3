"""The report names the differences between settings, and those that are unfair in words."""

import pytest

from bench.records import Record, from_json
from bench.reports.sections import effective_settings
from builders import JAX, report, report_md, timed

TORCH = {"cpus": "2", "threads": "2", "malloc": "keeps freed", "jit": "none", "optimizer": "Adam"}


def section(*records: Record) -> str:
    return effective_settings.section(report(*records))


def pair(ours: dict[str, str], theirs: dict[str, str], **changes: object) -> str:
    return section(
        timed([0.1], settings=TORCH | ours, **changes),
        timed([0.2], settings=TORCH | {"jit": "xla"} | theirs, **JAX | changes),
    )


def test_what_is_the_same_is_one_line_and_what_differs_is_a_table() -> None:
    text = pair({"layout": "channels_last/OHWI"}, {"jit": "xla", "parameters": "float32"})
    assert "The same for all: cpus 2, malloc keeps freed, optimizer Adam, threads 2." in text
    assert "| contender | jit | layout | parameters |" in text
    assert "| PyTorch eager | none | channels_last/OHWI | – |" in text
    assert "Unfair" not in text


UNFAIR = [
    ({"threads": "1"}, {}, "threads differs"),
    ({"cpus": "1"}, {}, "cpus differs"),
    ({"malloc": "default"}, {}, "malloc differs"),
    ({"gpu_memory": "preallocated"}, {"gpu_memory": "as needed"}, "gpu_memory differs"),
    ({"tf32_matmul": "on"}, {}, "TF32 is on in its matmuls"),
    ({"computation": "bfloat16"}, {}, "computation in bfloat16, where fp32 means float32"),
    ({"parameters": "float64"}, {}, "parameters in float64"),
    ({"onednn": "off"}, {"onednn": "off by itself"}, "oneDNN is off"),
    (
        {"onednn": "off", "environment": "TF_ENABLE_ONEDNN_OPTS=0"},
        {"onednn": "off by itself", "environment": "TF_ENABLE_ONEDNN_OPTS=0"},
        "oneDNN is off, though its engine computes with it on a CPU",
    ),
]


@pytest.mark.parametrize(("ours", "theirs", "said"), UNFAIR)
def test_what_is_unfair_is_named_once_with_its_remedy(
    ours: dict[str, str], theirs: dict[str, str], said: str
) -> None:
    [line] = [line for line in pair(ours, theirs).splitlines() if line.startswith("- **Unfair**")]
    assert said in line
    assert "PyTorch eager" in line
    assert ": " in line.split(said)[1]


def test_a_label_is_held_to_what_it_says() -> None:
    low = {"computation": "bfloat16", "parameters": "float32", "tf32_matmul": "on"}
    assert "Unfair" not in pair(low, low, precision="bf16")
    assert "not the 1 asked for" in pair({}, {}, threads=1)
    assert "Unfair" not in pair({}, {}, threads=2)


def test_processes_that_differ_are_told() -> None:
    rows = [
        timed([0.1], settings={"threads": threads}, replicate=index)
        for index, threads in enumerate("12")
    ]
    assert "threads 1 or 2" in section(*rows)


def test_the_settings_of_rows_that_are_older_than_the_field_are_not_known() -> None:
    old = timed([0.1]).to_json().replace(', "settings": {}', "").replace(', "threads": null', "")
    assert "settings" not in old
    row = from_json(old)
    assert (row.threads, row.settings) == (None, {})
    assert effective_settings.UNKNOWN in section(row)
    assert effective_settings.UNKNOWN in report_md(row)


def test_a_remedy_names_the_variable_that_is_the_cause() -> None:
    off = {"onednn": "off", "environment": "TF_ENABLE_ONEDNN_OPTS=0"}
    assert "on a CPU: unset TF_ENABLE_ONEDNN_OPTS=0, or read" in pair(off, off)
    many = {"threads": "8", "environment": "XLA_FLAGS=--xla_force_host_platform_device_count=8"}
    text = pair({}, many, threads=2)
    assert text.count("unset XLA_FLAGS=--xla_force_host_platform_device_count=8") == 2
    assert "user files" not in text
    switched = {"jit": "none", "environment": "JAX_DISABLE_JIT=1"}
    assert "nothing was compiled in mode compiled: unset JAX_DISABLE_JIT=1" in pair({}, switched)
