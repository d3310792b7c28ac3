"""Several machines in one report: what is compared, against what, at which price."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_ind

from bench.analysis.unpaired import speed_ratio
from bench.cli.main import main
from bench.records import Record
from builders import JAX, processes, record, report_md
from published import edit, elsewhere, published

TRAIN = "### train resnet14 fp32 batch 64 adam digits 100 steps"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return published(tmp_path / "here")


def hardware(text: str) -> str:
    return text.split("\n## Hardware\n", 1)[1].split("\n## ", 1)[0]


def rows(text: str, machine: str) -> list[list[str]]:
    """The cells of a table's rows that name `machine` as where they were measured."""
    lines = [line[2:-2].split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [cells for cells in lines if cells[1].startswith(machine + " ")]


def reported(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["report", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_one_machine_has_no_section_on_hardware(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "## Hardware" not in reported(capsys, here)


def test_each_contender_is_held_against_itself_on_the_first_machine_given(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = elsewhere(here, tmp_path / "there", factor=2)
    text = hardware(reported(capsys, here, there, "--out", tmp_path / "both"))
    assert text.count("### ") == 2
    train = text.split(TRAIN)[1].split("### ")[0]
    ours, theirs = rows(train, "epyc-2core"), rows(train, "other")
    assert len(ours) == len(theirs) == 1 + 3  # the best of each, then every contender
    for row in theirs:
        ratio = re.fullmatch(r"2\.00 \[(\d\.\d\d), (\d\.\d\d)\]", row[3])
        assert ratio
        assert float(ratio[1]) < 2 < float(ratio[2])
        assert row[4] == "faster"
    assert {tuple(row[3:5]) for row in ours} == {("1.00", "baseline")}
    assert "against epyc-2core" in train
    lead = train.strip().split("\n")[0]
    assert lead.startswith("other (Other CPU) by PyTorch eager is fastest at 1,7")
    assert "; next is epyc-2core (AMD EPYC) by PyTorch eager, at 0.50 [" in lead
    assert text == hardware((tmp_path / "both" / "report.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("baseline", ["other", "Other CPU"])
def test_the_baseline_can_be_named(
    baseline: str, here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = elsewhere(here, tmp_path / "there", factor=2)
    text = hardware(reported(capsys, here, there, "--baseline", baseline))
    assert "against other" in text
    assert {row[4] for row in rows(text, "epyc-2core")} == {"slower"}
    assert all(row[3].startswith("0.50 [") for row in rows(text, "epyc-2core"))


def test_an_equal_machine_ties(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = hardware(reported(capsys, here, elsewhere(here, tmp_path / "there")))
    assert {row[4] for row in rows(text, "other")} == {"tie"}
    assert text.count(" by PyTorch eager tie, the first at ") == 2


def test_what_differs_beside_the_machine_is_not_compared_or_named(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def differ(row: Any) -> None:
        row["versions"] = row["versions"] | {"torch": "1.0"} if row["versions"] else {}
        row["data_sha256"] = row["data_sha256"] and "f" * 64
        if row["workload"] == "infer":
            row["batch_size"] = 1

    text = hardware(reported(capsys, here, elsewhere(here, tmp_path / "there", change=differ)))
    assert text.count("### ") == 1
    assert "**Versions differ**" in text
    assert "torch 2.15.0 on epyc-2core, 1.0 on other" in text
    assert "**Not the same work**: the batches differ" in text


def test_cpu_and_gpu_of_one_machine_are_different_hardware_and_threads_alone_are_not() -> None:
    cpu = processes([1.0, 1.1, 1.05], threads=2)
    gpu = processes([0.1, 0.11, 0.105], device="cuda", processor="Example GPU", threads=16)
    text = hardware(report_md(*cpu, *gpu))
    assert "desk (Example GPU, 16 threads)" in text
    assert "10.00 [" in text
    one = processes([2.0, 2.1, 2.2], threads=1)
    assert "## Hardware" not in report_md(*cpu, *one)


def test_a_machine_that_failed_says_how_and_its_peak_is_its_own() -> None:
    there: dict[str, Any] = {"machine": "far", "processor": "Far CPU"}
    records: list[Record] = [
        *processes([1.0, 1.1], peak_fraction=0.5),
        *processes([1.0, 1.1], peak_fraction=0.25, **JAX),
        *processes([0.5, 0.6], peak_fraction=0.75, **there),
        record(status="oom", reason="no memory", **JAX | there),
    ]
    floor = {"cpu": {"value": 0.01, "log_ratios": [0.01, -0.01]}}
    text = hardware(report_md(*records, noise_floor=floor))
    assert rows(text, "far")[0][-1] == "0.75"
    assert rows(text, "far")[-1][2:] == ["oom", "–", "–", "–"]
    assert rows(text, "desk")[-1][-1] == "0.25"


def test_one_process_has_a_ratio_and_no_verdict() -> None:
    records = [*processes([1.0, 1.1]), *processes([0.5], machine="far", processor="Far CPU")]
    (row,) = rows(hardware(report_md(*records)), "far")
    assert re.fullmatch(r"2\.\d\d", row[3])
    assert row[4] == "–"
    assert "nothing can be said of the others" in hardware(report_md(*records))


def test_price_and_power_have_columns_and_measured_energy_goes_first(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = elsewhere(
        here, tmp_path / "there", change=lambda row: row.update(energy_j_per_image=0.5)
    )
    prices = tmp_path / "machines.toml"
    prices.write_text(
        '[epyc-2core]\nprice_per_hour = 0.5\ncurrency = "EUR"\npower_w = 40\n'
        '["Other CPU"]\nprice_per_hour = 2\ncurrency = "USD"\npower_w = 1\n'
    )
    text = hardware(reported(capsys, here, there, "--machines", prices))
    ours, theirs = rows(text, "epyc-2core")[0], rows(text, "other")[0]
    speed = float(ours[2].split()[0].replace(",", ""))
    joules, _, how = ours[-2].partition(" ")
    assert float(joules) == pytest.approx(speed / 40, rel=1e-2)
    assert how == "at 40 W"
    assert theirs[-2] == "2 measured"
    price, _, currency = ours[-1].partition(" / ")
    assert float(price.replace(",", "")) == pytest.approx(speed * 3600 / 0.5, rel=1e-2)
    assert currency == "EUR"
    assert theirs[-1].endswith(" / USD")
    assert "images/J" not in hardware(reported(capsys, here, elsewhere(here, tmp_path / "third")))


def test_many_questions_are_folded_and_what_no_machine_measured_is_left_out() -> None:
    there: dict[str, Any] = {"machine": "far", "processor": "Far CPU"}
    sizes = [1, 2, 4, 8, 16]
    records = [
        row
        for size in sizes
        for place in ({}, there)
        for row in (
            *processes([1.0, 1.1], batch_size=size, **place),
            record(status="unsupported", reason="no", batch_size=size, **JAX | place),
        )
    ]
    text = hardware(report_md(*records))
    for size in sizes:
        assert f"<summary>train resnet14 fp32 batch {size} adam digits 100 steps</summary>" in text
    assert "###" not in text
    assert "keras" not in text


def test_many_rows_are_folded(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    others = [elsewhere(here, tmp_path / name, 2, name) for name in ("b", "c", "d", "e")]
    text = hardware(reported(capsys, here, *others))
    assert text.count("<summary>Every contender (15 rows)</summary>") == 2


def test_an_unpaired_interval_is_that_of_welch() -> None:
    ours, theirs = [200.0, 220.0, 210.0], [100.0, 101.0]
    found = speed_ratio(ours, theirs)
    welch = ttest_ind(np.log(ours), np.log(theirs), equal_var=False)
    low, high = welch.confidence_interval()
    assert found is not None
    assert found.ratio.low == pytest.approx(np.exp(low))
    assert found.ratio.high == pytest.approx(np.exp(high))
    assert found.p_value == pytest.approx(welch.pvalue)
    assert found.verdict == "faster"


def test_unpaired_speeds_that_do_not_scatter_and_differences_below_the_floor() -> None:
    same = speed_ratio([2.0, 2.0], [1.0, 1.0])
    assert same is not None
    assert (same.ratio.low, same.p_value, same.verdict) == (2.0, 0.0, "faster")
    small = speed_ratio([101.0, 101.0], [100.0, 100.0], floor=0.02)
    assert small is not None
    assert small.verdict == "tie"
    assert speed_ratio([], [1.0]) is None


def test_records_of_a_machine_nobody_measured_are_no_baseline(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(here, lambda row: None)
    assert main(["report", str(here), "--baseline", "epyc-2cor"]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "'epyc-2cor' (did you mean 'epyc-2core'?)" in line
