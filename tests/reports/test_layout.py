"""A report stays readable: many contests are answered together, what is long is folded."""

from bench.analysis.ranking import contests_of
from bench.reports.answer import brief
from builders import JAX, TENSORFLOW, processes, record, report_md, section, timed


def test_many_contests_are_answered_together_listed_and_folded() -> None:
    tf32 = {"tf32_matmul": "on"}
    sizes = [2**k for k in range(13)]
    records = [
        row
        for size in sizes
        for row in (
            *processes([1.0, 1.1], batch_size=size, settings=tf32 if size == 1 else {}),
            *processes([2.0, 2.1] if size > 1 else [0.5, 0.55], batch_size=size, **JAX),
        )
    ]
    text = report_md(*records)
    answer, heading, contests = text.split("\n\n")[1:4]
    assert contests.splitlines()[2].endswith("| unfair |")
    assert contests.splitlines()[3].endswith("| – |")
    assert answer == (
        "- **Training**: PyTorch eager is ahead, or ties with what is, in 12 of 13 "
        "contests, Keras functional on JAX in 1. (on desk, Example CPU)"
    )
    assert heading == "## Contests"
    assert len(contests.splitlines()) == 2 + len(sizes)
    for size in sizes:
        title = f"train resnet14 cpu fp32 batch {size} adam digits 100 steps"
        assert text.count(f"<summary>{title}</summary>") == 1
        assert f"## {title}" not in text.split("## Machine and versions")[0]
    assert text.count("<details>") == text.count("</details>") >= len(sizes)


def test_some_contests_are_answered_one_by_one_in_short() -> None:
    inferring = {"workload": "infer", "optimizer": None, "recipe": None}
    records = [
        row
        for size in (8, 16, 32)
        for other in ({}, inferring)
        for row in (
            *processes([1.0, 1.1, 1.05], batch_size=size, **other),
            *processes([2.0, 2.1, 2.2], batch_size=size, **JAX, **other),
        )
    ]
    lines = report_md(*records).split("\n\n")[1].splitlines()
    assert len(lines) == 6
    assert lines[0].startswith("- **Training, batch 8**: PyTorch eager is fastest, 2.0")
    assert lines[0].endswith(" times as fast as Keras functional on JAX.")
    assert lines[5].startswith("- **Inference, batch 32**: PyTorch eager is fastest, ")


def test_a_long_section_is_folded_and_a_short_one_lies_open() -> None:
    many = [timed([1.0], batch_size=2**k, certificate_float64="passed") for k in range(4)]
    assert "<details>" not in report_md(*many)
    rows = [
        record(status="crashed", reason=f"of reason {k}", replicate=k, **TENSORFLOW)
        for k in range(9)
    ]
    text = section(report_md(timed([1.0]), *rows), "Not ranked")
    assert "9 cells: 9 crashed." in text
    assert "<summary>Each with its reason</summary>" in text
    assert "of reason 8" in text


def test_what_is_unfair_is_named_below_the_ranking() -> None:
    text = report_md(
        timed([1.0], settings={"threads": "1"}), timed([1.0], settings={"threads": "2"}, **JAX)
    )
    assert "**Unfair**: threads differs" in section(text, "train resnet14").split("###")[0]


def test_of_single_processes_nobody_is_ahead() -> None:
    rows = [
        timed([1.0 + number], batch_size=size, **contender)
        for size in (2**k for k in range(13))
        for number, contender in enumerate(({}, JAX))
    ]
    text = report_md(*rows)
    assert "**Training**: there is no verdict in any of 13 contests." in text
    assert "fastest |" not in text.replace("against fastest |", "")
    assert brief(contests_of(rows[:2])) == "Training: PyTorch eager, 10.0 images/s (no verdict)"
    assert contests_of(rows)[0].fastest.verdict is None
