"""Where the time of a run went, on made-up records."""

from typing import Any

import pytest

from bench.analysis.time_spent import time_spent
from bench.records import Record
from builders import record, report_md, run, section, table_cells, timed

HEADING = "Where the time went"
SPENT_S = {"data": 1.0, "peaks": 4.0, "certificates": 15.0, "measuring": 20.0, "reports": 9.0}


def accounted(**changes: Any) -> Record:
    """A process that took 8 s: its first step 1 s, its blocks 2 s."""
    request_s = {"build": 3.0, "warm_up": 1.5, "block": 2.25, "finish": 0.5, "audit": 0.75}
    values: dict[str, Any] = {"first_step_s": 1.0, "request_s": request_s}
    return timed([1.0, 1.0], **values | changes)


def test_every_part_is_named_with_its_seconds_and_its_share() -> None:
    text = section(report_md(accounted(), accounted(replicate=1), spent_s=SPENT_S), HEADING)
    assert text.strip().splitlines()[0] == (
        "The run took 40.0 s. Of the 20.0 s after certification, 30% lay inside timed blocks and "
        "first steps."
    )
    cells = table_cells(text)
    assert [tuple(cells[at : at + 3]) for at in range(0, len(cells), 3)] == [
        ("data", "1.0", "2.5"),
        ("peaks", "4.0", "10.0"),
        ("certificates", "15.0", "37.5"),
        ("imports and builds", "6.0", "15.0"),
        ("first steps", "2.0", "5.0"),
        ("warm-up", "1.0", "2.5"),
        ("blocks", "4.0", "10.0"),
        ("around the blocks", "0.5", "1.2"),
        ("accuracy", "1.0", "2.5"),
        ("audits", "1.5", "3.8"),
        ("other", "4.0", "10.0"),
    ]


def test_the_parts_make_up_the_whole() -> None:
    spent = time_spent(run(spent_s=SPENT_S), [accounted(), record(status="unavailable")])
    assert spent
    assert sum(spent.parts_s.values()) == spent.wall_s == pytest.approx(40.0)


def test_a_run_from_before_the_field_has_no_such_section() -> None:
    assert HEADING not in report_md(timed([1.0]))
    assert time_spent(run(), [timed([1.0])]) is None


def test_processes_that_kept_no_account_count_for_nothing() -> None:
    old = timed([5.0], first_step_s=5.0)
    spent, without = (
        time_spent(run(spent_s=SPENT_S), rows) for rows in ([old, accounted()], [accounted()])
    )
    assert spent == without


def test_a_run_that_measured_nothing_has_no_share() -> None:
    text = report_md(record(status="unavailable"), spent_s={"data": 1.0})
    assert "The run took 1.0 s; nothing was measured." in section(text, HEADING)


def test_each_of_several_runs_is_named() -> None:
    runs = [run(spent_s=SPENT_S), run(run_id="second", spent_s={"data": 2.0, "measuring": 10.0})]
    text = section(report_md(accounted(), accounted(run_id="second"), runs=runs), HEADING)
    assert "**first** took 40.0 s. Of the 20.0 s after certification, 15% lay" in text
    assert "**second** took 12.0 s. Of the 10.0 s after certification, 30% lay" in text
