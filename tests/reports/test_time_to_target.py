"""Training to a target accuracy is ranked by its time, and luck is no rank."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bench.analysis.ranking import contests_of
from bench.analysis.statistics import seconds_to_target
from bench.records import Record
from bench.reports.formats import html, terminal
from bench.reports.sections import answers
from bench.reports.text import interval
from builders import JAX, TENSORFLOW, report, report_md, timed


def arrivals(times: Sequence[float | None], **changes: Any) -> list[Record]:
    """Processes that reached their target after so many seconds, or did not."""
    common = {"workload": "train-to", "target_accuracy": 0.9, "evaluate_every": 10}
    return [
        timed(
            [1.0] * (1 + number),
            replicate=number,
            cohort=str(number),
            drawn_seed=number,
            reached_train_s=seconds,
            reached_steps=None if seconds is None else 10 * (1 + number),
            reason="not reached: test accuracy 0.8" if seconds is None else None,
            **common | changes,
        )
        for number, seconds in enumerate(times)
    ]


def test_cells_are_ranked_by_their_time_and_compared_seed_by_seed() -> None:
    slow, quick = arrivals([20.0, 41.0, 80.0]), arrivals([10.0, 20.0, 41.0], **JAX)
    (contest,) = contests_of(slow + quick)
    first, second = contest.summaries
    assert first.cell.backend == "jax"
    assert second.verdict == "slower"
    assert second.speed_against_fastest is not None
    assert 0.49 < second.speed_against_fastest.value < 0.51
    assert second.speed_against_fastest.high is not None
    assert second.speed_against_fastest.high < 0.6  # though times vary by four with the seed
    text = report_md(*slow, *quick)
    assert "Keras functional on JAX is fastest, 2.0" in text
    assert "times as fast as PyTorch eager" in text
    assert "| 3 of 3 | 20 (10 – 30) |" in text
    assert "DIFFERENT" not in text
    page = html.page_of(report(*slow, *quick))
    assert [cell.columns[1] for cell in page.cells] == [
        (f"{interval(s.seconds_to_target, 1)} s to target", s.seconds_to_target.value)
        for s in contest.summaries
        if s.seconds_to_target
    ]
    assert "compares processes of equal seeds" in " ".join(page.words["s to target"].split())
    assert "compares processes of equal seeds" in " ".join(text.split())


def test_who_did_not_always_arrive_has_no_time_and_no_rank() -> None:
    lucky = arrivals([1.0, None, 1.0], **TENSORFLOW)
    sure = arrivals([20.0, 21.0, 22.0])
    (contest,) = contests_of(lucky + sure)
    assert [s.cell.backend for s in contest.summaries] == ["torch", "tensorflow"]
    assert (
        contest.summaries[1].speed_against_fastest
        is contest.summaries[1].verdict
        is contest.summaries[1].group
        is None
    )
    assert seconds_to_target(lucky) is None
    assert (
        "Not always at the target within 100 steps: Keras functional on TensorFlow"
        in answers.section(report(*lucky, *sure))
    )
    assert "| 2 of 3 |" in report_md(*lucky, *sure)
    assert len(terminal.tables(report(*lucky, *sure))) == 1


def test_who_failed_in_a_process_has_no_time_and_no_rank() -> None:
    broken = arrivals([1.0, 1.0, 1.0], **TENSORFLOW)
    broken[2] = replace(broken[2], status="crashed", reason="the loss became nan")
    missed = arrivals([0.5, 0.5, None], **JAX)
    rows = broken + missed + arrivals([20.0, 21.0, 22.0])
    (contest,) = contests_of(rows)
    assert [s.cell.backend for s in contest.summaries if s.seconds_to_target] == ["torch"]
    assert contest.fastest.cell.backend == "torch"
    assert [s.verdict for s in contest.summaries] == [None] * 3
    assert "| 2 of 3 |" in report_md(*rows)


def test_nobody_is_fastest_where_nobody_arrives() -> None:
    rows = arrivals([None, None]) + arrivals([None, 1.0], **JAX)
    assert "no contender" in answers.section(report(*rows))
    assert "| fastest |" not in report_md(*rows)
