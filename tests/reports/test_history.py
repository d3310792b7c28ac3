"""Histories of many runs: what has changed is named at its run, and nothing else is."""

import json
import random
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.analysis.change_points import change_points
from bench.analysis.history import history
from bench.cli.main import main
from bench.records import Record, Run
from bench.records.folder import RunFolder
from bench.records.run import Shard
from builders import JAX, SPEEDS, processes, run, table_cells

# How much slower the machine was in each run, which the control felt as well
MOODS = (1.0, 1.2, 0.9, 1.1, 1.3, 0.8, 1.0, 1.05)


def measured(number: int, slower: float = 0.0, **changes: Any) -> tuple[Run, list[Record]]:
    """Run `number`: the control, and a contender that is slower by a part and scatters by 0.3 %."""
    noise = random.Random(number)
    name, mood = f"nightly-{number}", MOODS[number % len(MOODS)]
    own = [mood * 2 * s * (1 + slower) * noise.gauss(1, 0.003) for s in SPEEDS]
    control = processes([mood * seconds for seconds in SPEEDS], run_id=name)
    rows = [*control, *processes(own, run_id=name, versions={"jax": f"0.{number + 5}.0"}, **JAX)]
    facts = {"utc": f"2026-11-{number + 1:02}T02:00:00+00:00", "commit": f"{number:012x}"}
    return run(run_id=name, **facts | changes), rows


def keep(folder: Path, runs: Sequence[tuple[Run, Sequence[Record]]]) -> Path:
    for about, rows in runs:
        made = RunFolder.create(folder / about.run_id, about)
        for row in rows:
            made.append(row)
    return folder


STEPPED = [measured(number, slower=0.05 if number >= 3 else 0.0) for number in range(6)]


def test_a_step_of_five_percent_in_six_runs_is_found_at_its_run() -> None:
    [series] = history(STEPPED, "torch_module").series
    assert series.cell.label == "keras_functional[jax] compiled"
    [change] = series.changes
    assert series.points[change.at].run.run_id == "nightly-3"
    assert change.ratio.value == pytest.approx(1 / 1.05, abs=0.005)
    assert change.ratio.low is not None
    assert change.ratio.high is not None
    assert change.ratio.low < 1 / 1.05 < change.ratio.high < 1


def test_shards_are_one_run_each_night(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for night, (about, rows) in enumerate(STEPPED):
        for number in (1, 2):
            own = [row for row in rows if row.replicate % 2 == number - 1]
            shard = Shard(number=number, of=2, plan="3f9a1c20" + "0" * 56)
            keep(
                tmp_path / f"night-{night}",
                [(replace(about, run_id=f"{number}", shard=shard), own)],
            )
    assert main(["report", str(tmp_path), "--history", "--control", "torch_module"]) == 0
    text = capsys.readouterr().out
    assert text.count("(night-3/1/run.json)") == 1
    assert "missing" not in text
    assert "left out" not in text


def test_without_the_step_nothing_is_named() -> None:
    [series] = history([measured(number) for number in range(6)], "torch_module").series
    assert series.changes == ()


def test_the_order_of_runs_is_that_of_their_dates() -> None:
    [series] = history(STEPPED[::-1], "torch_module eager").series
    assert [point.run.run_id for point in series.points] == [f"nightly-{n}" for n in range(6)]
    assert series.points[0].label == "2026-11-01 02:00"
    assert series.changes


def test_versions_and_commits_order_and_name_runs_too() -> None:
    [series] = history(STEPPED[::-1], "torch_module", "version").series
    # 0.10.0 comes after 0.9.0
    assert [point.label.split()[0] for point in series.points] == [f"0.{n}.0" for n in range(5, 11)]
    [series] = history(STEPPED, "torch_module", "commit").series
    assert series.points[3].label == "000000000003"


@pytest.mark.parametrize("count", [6, 20])
def test_flat_histories_have_no_change_nineteen_times_of_twenty(count: int) -> None:
    draw = random.Random(count)
    flat = [[draw.lognormvariate(0, 0.01) for _ in range(count)] for _ in range(400)]
    alarms = sum(bool(change_points([each])[0]) for each in flat)
    assert alarms <= 28  # 95 of 100 sets of 400 have fewer, where 5 % are false
    together = [change_points(flat[i : i + 10]) for i in range(0, 400, 10)]
    assert sum(any(each) for each in together) <= 5  # of 40 pages of ten series each


def test_one_bad_run_is_no_change_and_two_steps_are_two() -> None:
    draw = random.Random(0)
    usual = [draw.lognormvariate(0, 0.005) for _ in range(20)]
    for place in range(20):
        bad = [value * (0.8 if i == place else 1) for i, value in enumerate(usual)]
        assert change_points([bad]) == [[]]
    steps = [v * (0.95 if i >= 12 else 1) * (1.1 if i >= 6 else 1) for i, v in enumerate(usual)]
    assert [change.at for change in change_points([steps])[0]] == [6, 12]


def test_values_that_are_all_equal_have_no_change() -> None:
    assert change_points([[0.9] * 7, [1.0] * 3, [2.0], []]) == [[], [], [], []]
    [[change]] = change_points([[1.0, 1.0, 0.9, 0.9]])
    assert change.at == 2


def test_report_writes_a_page_and_a_table_with_links_to_the_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = keep(tmp_path / "nightly", STEPPED)
    (folder / "nightly-0" / "report.md").write_text("# nightly-0\n")
    assert main(["report", str(folder), "--history", "--control", "torch_module"]) == 0
    text = (folder / "history.md").read_text()
    assert capsys.readouterr().out == text
    assert "\n1 change of speed in 6 runs, 1 series, against torch_module." in text
    assert re.search(r"4\.\d % \[.*\] slower from 2026-11-04 02:00 \(nightly-3\) on", text)
    links = dict(re.findall(r"\[(nightly-\d)\]\(([^)]*)\)", text))
    assert links["nightly-0"] == "nightly-0/report.md"
    assert all((folder / link).exists() for link in links.values())
    cells = table_cells(text)
    assert len(cells) == 4 * 6
    assert [cells[i * 4 + 3] for i in range(6)] == ["", "", "", cells[15], "", ""]
    assert cells[15].startswith("-4.")
    page = (folder / "history.html").read_text()
    assert 'href="nightly-0/report.md"' in page
    assert "slower from 2026-11-04 02:00 (nightly-3) on" in page
    assert '"kind":"history"' in page


def refusal(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main(["report", *map(str, words)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    return line


def test_a_mistake_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = keep(tmp_path / "runs", STEPPED[:2])
    assert "needs --control NAME" in refusal(capsys, folder, "--history")
    unknown = refusal(capsys, folder, "--history", "--control", "torch_modul")
    assert "did you mean 'torch_module eager'?" in unknown
    assert "--control and --by are of a history" in refusal(capsys, folder, "--control", "a")
    one = keep(tmp_path / "one", STEPPED[:1])
    assert "one run only" in refusal(capsys, one, "--history", "--control", "torch_module")
    twin = measured(7, utc=STEPPED[0][0].utc)
    keep(folder, [twin])
    same = refusal(capsys, folder, "--history", "--control", "torch_module")
    assert "nightly-0 and nightly-7 both began at 2026-11-01T02:00:00" in same
    assert not (folder / "history.md").exists()


def test_copies_count_once_and_runs_without_the_control_are_named() -> None:
    about, rows = measured(6)
    alone = (about, [row for row in rows if row.implementation != "torch_module"])
    found = history([*STEPPED, STEPPED[2], alone], "torch_module")
    assert len(found.series[0].points) == 6
    assert found.remarks == (
        "nightly-2 was given more than once, and counts once",
        "nightly-6 is left out: nothing ran beside torch_module there",
    )


MINE = """
import time
from resnet_impls import onnxruntime_engine

class Implementation(onnxruntime_engine.Implementation):
    def infer(self, steps):
        began_s = time.perf_counter()
        logits = super().infer(steps)
        time.sleep({more} * (time.perf_counter() - began_s))
        return logits
"""


@pytest.mark.long
def test_a_history_of_real_runs_names_the_run_that_a_change_came_with(
    resnet_bench: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    mine, runs = tmp_path / "mine.py", tmp_path / "runs"
    words = ("--impl", "onnxruntime_engine", "openvino_engine", mine, "--workload", "infer")
    sizes = ("--no-certify", "--steps", 40, "--batch-size", 8, "--replicates", 2)
    for number in range(6):
        mine.write_text(MINE.format(more=3 if number >= 3 else 0))
        done = resnet_bench("run", *words, *sizes, "--out", runs / f"night-{number}")
        assert done.returncode == 0, done.stdout + done.stderr

    told = ("report", runs, "--history", "--control", "onnxruntime_engine")
    done = resnet_bench(*told)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^\d changes? of speed in 6 runs, 2 series", done.stdout, re.MULTILINE)
    assert re.search(
        r": mine eager: [6-8]\d\.\d % \[.*\] slower from .* \(night-3\) on", done.stdout
    )
    assert done.stdout == (runs / "history.md").read_text()
    links = re.findall(r"\[night-\d\]\(([^)]*)\)", done.stdout)
    assert links == [f"night-{number}/report.html" for number in range(6)] * 2
    assert all((runs / link).exists() for link in links)
    assert "openvino_engine compiled" in (runs / "history.html").read_text()
    by_version = resnet_bench(*told, "--by", "version", "--out", tmp_path / "other").stdout
    version = json.loads((runs / "night-0" / "run.json").read_text())["packages"]["openvino"]
    assert by_version.count(f"| {version} | [night-") == 6

    shutil.copytree(runs / "night-0", runs / "twin")
    text = (runs / "twin" / "run.json").read_text()
    (runs / "twin" / "run.json").write_text(text.replace('"run_id": "night-0"', '"run_id": "twin"'))
    for refused, why in (
        (told, "night-0 and twin both began at "),
        (told[:3], "--history needs --control NAME"),
        ((*told[:4], "torch_module"), "--control torch_module: in no run did anything run beside"),
    ):
        done = resnet_bench(*refused)
        assert done.returncode == 2
        [line] = done.stderr.splitlines()
        assert why in line
