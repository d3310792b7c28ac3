"""Estimates from made-up and published observations, and `run --plan` as a whole."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench import cache
from bench.cells import Cell
from bench.plan import times
from bench.plan.costs import cohorts, requests_s
from bench.plan.estimate import Estimator, Here, assumed
from bench.plan.observed import Observed, latest, observed
from bench.plan.plan import UNKNOWN, Plan
from bench.plan.published import FILE, published, text
from bench.records.run import Peak
from bench.validation import parse
from builders import JAX, processes, run

RESULTS = Path(__file__).parents[2] / "results"
Run = Callable[..., subprocess.CompletedProcess[str]]

BEGUN = {"import_s": 2.0, "build_s": 1.0, "first_step_s": 0.5, "host_peak_mib": 1000.0}


def seen(**changes: Any) -> Observed:
    """What `torch_module` took: 0.1 s per step of 64 images."""
    [found] = observed(processes([1.0, 1.0, 1.0], **BEGUN | changes), [run()])
    return found


def cell(**changes: Any) -> Cell:
    return replace(processes([1.0])[0].cell, **changes)


def estimator(*own: Observed, elsewhere: tuple[Observed, ...] = (), **peaks: Peak) -> Estimator:
    table = {name.replace("_", "/"): peak for name, peak in peaks.items()}
    return Estimator(Here("desk", {"cpu": "Example CPU"}, {"cpu": table}), own, elsewhere)


def test_the_same_cell_on_this_machine_is_taken_as_it_is() -> None:
    found = estimator(seen(), elsewhere=(replace(seen(), step_s=9.0),)).costs(cell())
    assert found is not None
    assert (found.import_s, found.build_s) == pytest.approx((2.0, 1.0))
    assert found.step_s == pytest.approx(0.1)
    assert found.basis == "measured here"


def test_another_batch_scales_the_step_and_not_the_compilation() -> None:
    found = estimator(seen(first_step_s=5.1)).costs(cell(batch_size=128))
    assert found is not None
    assert found.step_s == pytest.approx(0.2)
    assert found.first_step_s == pytest.approx(5.2)
    assert found.memory_mib is not None
    assert found.memory_mib > 1500
    assert found.basis == "scaled"


def test_another_machine_is_scaled_by_its_peak_and_its_copies() -> None:
    theirs = replace(seen(), peak_gflop_per_s=200.0, copy_gb_per_s=20.0)
    ours = Peak(gflop_per_s=100.0, library="", copy_gb_per_s=10.0)
    found = estimator(elsewhere=(theirs,), all_fp32=ours).costs(cell())
    assert found is not None
    assert found.step_s == pytest.approx(0.2)
    assert found.basis == "measured elsewhere"


def test_another_mode_takes_its_first_step_from_whoever_has_that_mode() -> None:
    eager = seen(first_step_s=0.1)
    compiled = seen(implementation="torch_export", mode="compiled", first_step_s=20.0)
    found = estimator(eager, compiled).costs(cell(mode="compiled"))
    assert found is not None
    assert found.first_step_s == pytest.approx(20.0, rel=0.05)
    assert found.basis == "guessed"


def test_another_backend_says_nothing() -> None:
    assert estimator(seen()).costs(cell(**{k: JAX[k] for k in ("backend", "mode")})) is None
    assert estimator(seen()).costs(cell(device="cuda")) is None


def test_training_to_a_target_ends_where_others_were_as_accurate() -> None:
    rows = (replace(seen(), steps=70, test_accuracy=0.98), replace(seen(), steps=40))
    aim = cell(workload="train-to", target_accuracy=0.97, evaluate_every=10, steps=300)
    found = estimator(*rows).costs(aim)
    assert found is not None
    assert found.steps_to_target == 70
    assert requests_s(aim, found)["block"] == pytest.approx(6.9)


def test_requests_add_up_to_more_than_blocks_and_grow_with_steps() -> None:
    known = estimator(seen()).costs(cell())
    assert known is not None
    few, many = (sum(requests_s(cell(steps=n), known).values()) for n in (100, 200))
    assert few > 100 * 0.1 + 3.0
    assert many - few > 80 * 0.1


def test_memory_splits_a_contest_as_the_schedule_does() -> None:
    assert cohorts([100.0] * 4, 1000.0) == 1
    assert cohorts([100.0] * 4, 250.0) == 2
    assert cohorts([900.0, 900.0], 500.0) == 2
    assert cohorts([], 100.0) == 1


def test_what_a_run_takes_is_learnt_in_place_of_what_was_known_of_it() -> None:
    known = estimator(seen())
    known.learn([replace(seen(), step_s=0.3)])
    found = known.costs(cell())
    assert found is not None
    assert found.step_s == pytest.approx(0.3)


def test_the_published_times_are_those_of_the_published_runs() -> None:
    remedy = "write it anew: python -m bench.plan.published results"
    assert FILE.read_text(encoding="utf-8") == text(RESULTS), remedy
    labels = {(row.implementation, row.mode) for row in published()}
    assert ("torch_module", "compiled") in labels


def test_what_is_remembered_is_read_back_and_damage_counts_as_absence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert times.known() == times.Times()
    times.remember([seen()], {"torch": 3.0})
    times.remember([replace(seen(), run_id="second")])
    assert [each.run_id for each in times.known().observed] == ["first", "second"]
    assert times.known().certificates_s == {"torch": 3.0}
    for damage in (b"", b"{", b'{"observed": 3}', b'{"format": 99}', b"\xff"):
        cache.keep(times.ENTRY, damage)
        assert times.known() == times.Times()
    times.remember([seen()])
    assert len(times.known().observed) == 1


def test_what_is_remembered_stays_small() -> None:
    every = [replace(seen(), run_id=str(number)) for number in range(10)]
    assert [each.run_id for each in latest([*every, every[3]], 4)] == ["7", "8", "9", "3"]


def test_a_plan_writes_nothing_and_starts_no_worker(
    resnet_bench: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    before = set(tmp_path.rglob("*"))
    finished = resnet_bench(
        *("run", "--plan", "--json", "--impl", "torch_module", "flax_nnx", "--device", "cpu"),
        *("--precision", "fp32", "fp16"),
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    assert set(tmp_path.rglob("*")) == before
    found = parse(finished.stdout, Plan)
    assert found.total_s == found.known_s > 0
    parts = (found.certificates_s, found.peaks_s, found.building_s, found.measuring_s)
    assert found.total_s == pytest.approx(sum(parts) + found.other_s)
    assert found.cells == 8
    assert found.processes == 12
    assert found.certificates == 4
    assert {each.status for each in found.cannot_run} == {"unsupported"}
    assert [len(contest.cells) for contest in found.contests] == [2, 2]
    assert json.loads(finished.stdout)["total_s"] == found.total_s


def test_a_plan_says_what_is_unknown(
    resnet_bench: Run, fake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    words = ("run", "--plan", "--impl", fake, "--optimizer", "sgd", "--no-certify")
    finished = resnet_bench(*words)
    assert finished.returncode == 0
    assert "unknown until its first process" in finished.stdout
    found = parse(resnet_bench(*words, "--json").stdout, Plan)
    assert found.total_s is None
    assert len(found.unknown) == 2
    assert {row.basis for contest in found.contests for row in contest.cells} == {UNKNOWN}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--plan", "--resume", "there"), "--plan"),
        (("--json",), "--json"),
        (("--plan", "--impl", "torch_modul"), "'torch_modul'"),
        (("--plan", "--threads", "9999"), "9999"),
    ],
)
def test_bad_input_of_a_plan_is_one_line(
    words: tuple[str, ...], told: str, resnet_bench: Run
) -> None:
    finished = resnet_bench("run", *words)
    assert finished.returncode == 2
    [line] = finished.stderr.splitlines()
    assert told in line


def test_an_assumption_is_no_knowledge() -> None:
    assert not assumed(cell()).known
    assert assumed(cell(batch_size=128)).step_s > assumed(cell()).step_s > 0
