"""When to stop: decided on simulated records, then by whole runs with real workers."""

import json
import math
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.analysis.precision import LEAST, Standing, half_width, standings, unreached
from bench.analysis.statistics import Estimate, estimate
from bench.records import Record
from bench.records.folder import RunFolder
from bench.records.reading import read
from bench.run.stopping import further, rounds
from builders import JAX, TENSORFLOW, processes, record, run, timed

Run = Callable[..., subprocess.CompletedProcess[str]]

QUIET = [1.0, 1.001, 0.999, 1.0, 1.001]
LOOSE = [1.0, 1.4, 0.7, 1.2, 0.8]


def wanted(*records: Record, target: float = 0.01, most: int = 30) -> set[tuple[str, int]]:
    return {(cell.backend, index) for cell, index in further(records, run(), target, most)}


def standing(*records: Record, target: float = 0.01, most: int = 30) -> dict[str, Standing]:
    found = standings(records, run(), target, most)
    return {each.cell.backend: each for contest in found for each in contest}


def test_half_width_is_the_larger_side_as_a_fraction() -> None:
    samples = [1.0, 1.1, 1.3]
    found = estimate(samples)
    assert found is not None
    assert found.high is not None
    assert half_width(found) == pytest.approx(found.high / found.value - 1)
    assert half_width(Estimate(2.0)) is half_width(None) is None


def test_a_contest_that_is_precise_enough_is_left_alone() -> None:
    assert wanted(*processes(QUIET), *processes(QUIET, **JAX)) == set()


def test_one_loose_cell_brings_one_more_process_for_every_cell_of_its_contest_alone() -> None:
    other = processes(QUIET, batch_size=32)
    assert wanted(*processes(QUIET), *processes(LOOSE, **JAX), *other) == {("torch", 5), ("jax", 5)}


def test_the_ratio_counts_as_well_as_the_speed() -> None:
    orders = [[1.0, 2.0, 3.0], [2.0, 3.0, 1.0]]  # one median, but other ratios round by round
    even = [timed(orders[0], replicate=n, cohort=str(n)) for n in range(5)]
    uneven = [timed(orders[n % 2], replicate=n, cohort=str(n), **JAX) for n in range(5)]
    found = standing(*even, *uneven, target=0.1)
    assert found["jax"].speed == found["torch"].speed == 0.0
    assert max(each.ratio or 0.0 for each in found.values()) > 0.1
    assert wanted(*even, *uneven, target=0.1) == {("torch", 5), ("jax", 5)}


def test_cells_that_never_run_side_by_side_end_with_their_speeds() -> None:
    apart = [*processes([1.0] * 5), *processes([2.0] * 5, **JAX)]
    apart = [replace(row, cohort=f"{row.backend} {row.replicate}") for row in apart]
    assert wanted(*apart) == set()
    obstacle = standing(*apart)["jax"].obstacle
    assert obstacle == "never ran beside PyTorch eager, the fastest"


def test_what_cannot_be_measured_any_more_ends_it() -> None:
    rows = processes(LOOSE)
    described = run(options={"replicates": 3, "precision_target": 0.01, "max_replicates": 30})
    asked = list(rounds(described, [rows[0].cell], lambda: rows, lambda line: None))
    assert [len(each.tasks) for each in asked] == [0, 1]


@pytest.mark.parametrize("count", range(1, LEAST))
def test_few_processes_are_narrow_by_luck_and_not_enough(count: int) -> None:
    assert wanted(*processes([1.0] * count)) == {("torch", count)}
    assert wanted(*processes([1.0] * LEAST)) == set()


def test_the_cap_ends_it() -> None:
    rows = [*processes(LOOSE), *processes(LOOSE[::-1], **JAX)]
    assert wanted(*rows, most=6) == {("torch", 5), ("jax", 5)}
    assert wanted(*rows, most=5) == set()
    for each in standing(*rows, most=5).values():
        assert not each.reached
        assert each.obstacle == "at the cap of 5 processes"
    assert wanted(*processes([1.0] * 3), most=3) == set()
    assert standing(*processes([1.0] * 3), most=3)["torch"].reached


@pytest.mark.parametrize("status", ["crashed", "oom", "timeout", "uncertified"])
def test_a_cell_whose_latest_process_failed_has_no_more_and_the_others_go_on(status: str) -> None:
    failed = record(status=status, reason="why", replicate=5, **JAX)
    rows = [*processes([*LOOSE, 1.1]), *processes([5 * s for s in LOOSE], **JAX), failed]
    assert wanted(*rows) == {("torch", 6)}
    assert standing(*rows)["jax"].obstacle == f"process 5: {status}"


def test_where_the_fastest_has_failed_nobody_goes_on_for_a_ratio_to_it() -> None:
    slower = [2.0, 2.002, 1.999, 2.001, 2.0, 2.0]
    late = timed([2.0], replicate=6, cohort="6", **JAX)
    failed = record(status="crashed", reason="why", replicate=6)
    rows = [*processes([*LOOSE, 1.1]), failed, *processes(slower, **JAX), late]
    assert wanted(*rows) == set()
    assert standing(*rows)["jax"].obstacle == "PyTorch eager, the fastest, process 6: crashed"


def test_what_nothing_could_be_measured_of_ends_and_what_cannot_run_is_not_named() -> None:
    absent = record(status="unavailable", reason="not installed", **JAX)
    crashes = [record(status="crashed", reason="why", replicate=n, **TENSORFLOW) for n in range(3)]
    assert wanted(absent, *crashes) == set()
    assert set(standing(absent, *crashes)) == {"tensorflow"}
    assert standing(*crashes)["tensorflow"].speed is None


def test_an_interrupted_round_is_completed_before_the_next() -> None:
    rows = [*processes([*LOOSE, 1.0]), *processes(LOOSE, **JAX)]
    assert wanted(*rows) == {("jax", 5)}
    late = timed([1.0], replicate=5, cohort="5", **JAX)
    assert wanted(*rows, late) == {("torch", 6), ("jax", 6)}


def test_simulated_runs_end_and_are_then_as_precise_as_asked() -> None:
    random = np.random.default_rng(0)
    asked = {"replicates": 3, "precision_target": 0.05, "max_replicates": 30}
    described = run(options=asked)
    first = [record(), record(**JAX), record(batch_size=32)]
    rows: list[Record] = []
    told: list[str] = []
    for turn in rounds(described, [r.cell for r in first], lambda: rows, told.append):
        for cell, index in turn.tasks:
            seconds = float(np.exp(random.normal(0, 0.03)))
            changes: dict[str, Any] = {"backend": cell.backend, "batch_size": cell.batch_size}
            changes |= {name: getattr(cell, name) for name in ("implementation", "mode")}
            rows.append(timed([seconds], replicate=index, cohort=str(index), **changes))
    assert unreached(rows, described) == []
    counts = [sum(row.cell == each.cell for row in rows) for each in first]
    assert LEAST <= min(counts) <= max(counts) < 30
    assert counts[0] == counts[1]
    assert told[0] == "3 cells × 3 processes, 9 to measure"
    assert told[1] == "not within ±5.00% yet: 3 of 3 cells, 3 go on"
    assert len(told) == 1 + max(counts) - 3
    for contest in standings(rows, described, 0.05, 30):
        for each in contest:
            assert max(each.speed or math.inf, each.ratio or 0.0) <= 0.05


FAKE = ("--no-certify", "--workload", "train", "--optimizer", "sgd", "--steps", 10)


def replicates(out: Path) -> dict[tuple[str, str], list[int]]:
    found: dict[tuple[str, str], list[int]] = {}
    for row in read(out):
        key = (Path(row.implementation).stem, row.mode)
        found.setdefault(key, []).append(row.replicate)
    return found


def test_a_run_goes_on_to_its_cap_past_a_failing_cell_and_is_resumed(
    fake: Path, faulty: Callable[[str, str], Path], resnet_bench: Run, tmp_path: Path
) -> None:
    body = """
    def place(self, images, labels):
        super().place(images, labels)
        if (HERE / "once").exists():
            os._exit(3)
        (HERE / "once").touch()
    """
    out = tmp_path / "run"
    finished = resnet_bench(
        *("run", "--impl", fake, faulty("dies", body), *FAKE, "--replicates", 2),
        *("--precision-target", "0.0001%", "--max-replicates", 4, "--out", out),
    )
    assert finished.returncode == 1, finished.stderr
    everything = {("fake_implementation", "eager"): [0, 1, 2, 3], ("dies", "eager"): [0, 1]}
    assert replicates(out) == everything
    ends = [line for line in finished.stdout.splitlines() if line.startswith("not precise enough:")]
    assert len(ends) == 2
    assert "(at the cap of 4 processes)" in "".join(ends)
    assert "(process 1: crashed)" in "".join(ends)
    report = (out / "report.md").read_text()
    assert "Not all got there:" in report.split("## Precision")[1]

    lines = (out / "records.jsonl").read_text().splitlines(keepends=True)
    last = [json.loads(line)["replicate"] for line in lines].index(3)
    (out / "records.jsonl").write_text("".join(lines[:last]))
    assert resnet_bench("run", "--resume", out).returncode == 1
    assert replicates(out) == everything


def test_a_run_stops_when_it_is_sure(fake: Path, resnet_bench: Run, tmp_path: Path) -> None:
    out = tmp_path / "run"
    finished = resnet_bench(
        *("run", "--impl", fake, "--mode", "eager", "graph", *FAKE, "--replicates", 1),
        *("--precision-target", "99%", "--max-replicates", 12, "--out", out),
    )
    assert finished.returncode == 0
    described = RunFolder.open(out).run
    assert described.options.precision_target == 0.99
    rows = read(out)
    assert further(rows, described, 0.99, 12) == []
    (eager, graph) = replicates(out).values()
    assert eager == graph == list(range(len(eager)))
    assert len(eager) >= LEAST
    # each round began because the ones before it were not enough, and is a cohort of its own
    before = [row for row in rows if row.replicate < len(eager) - 1]
    assert further(before, described, 0.99, 12) != []
    assert len({row.cohort for row in rows}) == len(eager)
