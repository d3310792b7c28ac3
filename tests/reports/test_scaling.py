"""How a report sets several ranks against one."""

import pytest

from bench.analysis.scaling import scaled
from builders import report, report_md, section, table_cells, timed

DP = {"workload": "train-dp", "batch_norm": "synchronised"}


def rows(**changes: object) -> list:
    """Three processes each of one rank at batch 64 and 128, and of two ranks at 128."""
    return [
        timed(
            [seconds * took],
            world_size=ranks,
            batch_size=batch,
            replicate=i,
            cohort=str(i),
            communication_share=0.25 if ranks > 1 else None,
            **DP,
            **changes,
        )
        for i, seconds in enumerate((1.0, 1.01, 0.99))
        for ranks, batch, took in ((1, 64, 1.0), (1, 128, 1.8), (2, 128, 2.0))
    ]


def test_one_batch_is_strong_scaling_and_one_batch_per_rank_weak() -> None:
    strong, weak = scaled(report(*rows()).contests)
    assert (strong.kind, weak.kind) == ("strong", "weak")
    assert strong.speed_up.value == pytest.approx(0.9)
    assert weak.speed_up.value == pytest.approx(1.0)
    assert strong.efficiency == strong.speed_up  # the ranks share the CPUs
    assert strong.speed_up.low is not None
    of_gpus = scaled(report(*rows(device="cuda")).contests)
    assert [each.efficiency.value for each in of_gpus] == pytest.approx([0.45, 0.5])


def test_rounds_of_other_cohorts_are_not_compared() -> None:
    apart = [timed([1.0], world_size=n, cohort=str(n), batch_size=64, **DP) for n in (1, 2)]
    assert scaled(report(*apart).contests) == []
    shown = section(report_md(*apart), "Scaling")
    assert table_cells(shown)[-3:] == ["–", "–", "–"]


def test_a_report_shows_speed_up_efficiency_and_exchange() -> None:
    shown = report_md(*rows())
    cells = table_cells(section(shown, "Scaling"))
    width = len(table_cells(section(shown, "Scaling"), "th"))
    lines = [cells[k : k + width] for k in range(0, len(cells), width)]
    assert [(line[1], line[2], line[3], line[5]) for line in lines] == [
        ("1", "64", "64", "–"),
        ("1", "128", "128", "–"),
        ("2", "128", "64", "strong"),
        ("2", "128", "64", "weak"),
    ]
    assert lines[2][6:] == ["0.90 [0.90, 0.90]", "0.90 [0.90, 0.90]", "25 %"]
    assert "Data-parallel training" in shown


def test_a_plot_has_a_curve_for_each_kind_of_scaling() -> None:
    from bench.reports.plots.across import of_all

    [figure] = [each for each in of_all(report(*rows())) if each.kind == "ranks"]
    assert {row["label"] for row in figure.rows} == {
        "PyTorch eager, strong, batch 128",
        "PyTorch eager, weak, batch 64 per rank",
    }
    assert [row["ranks"] for row in figure.rows] == [1, 2, 1, 2]
    assert "90% with 2 ranks" in figure.summary
