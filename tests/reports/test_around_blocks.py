"""A report says what happened around the blocks, where it concerns and by how much."""

from collections.abc import Sequence
from typing import Any

from bench.records import Record
from bench.reports.formats import csv
from bench.reports.sections.around_blocks import SECTION, notice
from builders import JAX, report, report_md, timed

CALM = {
    "block_own_cores": (2.0,) * 20,
    "block_other_cores": (0.05,) * 20,
    "block_stolen_cores": (0.0,) * 20,
    "block_host_mib": (500.0,) * 20,
    "steady": True,
    "busy": False,
    "host_leak_kib_per_step": 0.0,
}
BLOCKS = [1.0] * 20


def contest(*records: Record) -> str:
    """What the report says of the ranking, before the costs."""
    return report_md(*records).split("## train resnet14", 1)[1].split("###", 1)[0]


def processes(*changes: dict[str, Any], blocks: Sequence[float] = BLOCKS) -> list[Record]:
    return [
        timed(blocks, **CALM | change, replicate=index, cohort=str(index))
        for index, change in enumerate(changes)
    ]


def test_where_all_was_calm_nothing_is_remarked() -> None:
    rows = processes({}, {})
    assert "**" not in contest(*rows)
    assert notice(rows) is None
    assert "| – |" in report_md(*rows).split(f"## {SECTION}")[1]


def test_a_busy_machine_is_named_with_the_cells_that_it_concerns() -> None:
    taken = {"busy": True, "block_other_cores": (0.7,) * 20}
    rows = [*processes({}, taken, {}), timed(BLOCKS, **CALM, **JAX)]
    assert (
        "**Measured on a busy machine, and so perhaps too slow**: PyTorch eager "
        "(1 of 3 processes; others had 0.70 processors on average)." in contest(*rows)
    )
    assert notice(rows) == f"warning: 1 of 4 busy (report.md, {SECTION})"


def test_a_cell_that_never_settled_is_ranked_and_named() -> None:
    rows = processes({"steady": False}, {}, blocks=[1.0] * 10 + [1.1] * 10)
    text = contest(*rows)
    assert "**Never settled**: PyTorch eager (1 of 2 processes; later blocks took +10%)" in text
    assert "| PyTorch eager |" in text


def test_a_leak_and_heat_are_named() -> None:
    grown = {
        "block_host_mib": tuple(500.0 + i for i in range(20)),
        "host_leak_kib_per_step": 102.4,
        "throttled": True,
    }
    text = contest(*processes(grown))
    assert "**Kept memory with every step**: PyTorch eager (1 of 1 process; host 102.4" in text
    assert "**Slowed down by heat or for want of power**: PyTorch eager (1 of 1" in text


def test_columns_of_which_nothing_is_known_are_left_out() -> None:
    text = report_md(*processes({})).split(f"## {SECTION}")[1]
    assert "host KiB/step" in text
    assert "GPU MHz" not in text
    assert "Nothing is known." in report_md(timed(BLOCKS))


def test_energy_and_leaks_have_columns() -> None:
    rows = processes({"energy_j_per_image": 0.0123})
    assert "| J/image |" in report_md(*rows)
    assert "0.0123" in report_md(*rows)
    assert "energy_j_per_image_median" in csv.summary(report(*rows))
