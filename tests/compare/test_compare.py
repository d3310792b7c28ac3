"""`resnet-bench compare` on runs: what has changed, what fails, and what is left out."""

import json
import math
import random
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from test_reports import HOSTILE, table_cells

from bench.cli.main import main
from bench.records import Record
from builders import JAX, TENSORFLOW, processes, record, run, timed

Write = Callable[..., Path]
SPEEDS = (1.0, 1.01, 0.99, 1.005, 0.995)  # seconds of a block in each process


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A run's folder with these records."""

    def write(name: str, *rows: Record, **changes: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        facts = run(**{"run_id": rows[0].run_id if rows else name} | changes)
        (folder / "run.json").write_text(json.dumps(facts), encoding="utf-8")
        text = "".join(f"{row.to_json()}\n" for row in rows)
        (folder / "records.jsonl").write_text(text, encoding="utf-8")
        return folder

    return write


@pytest.fixture
def compare(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Run the command; its exit code and what it printed, or the line that refuses."""

    def compare(*arguments: object) -> tuple[int, str]:
        code = main(["compare", *map(str, arguments)])
        captured = capfd.readouterr()
        if code == 2:
            assert captured.out == ""
            [line] = captured.err.splitlines()
            assert line.startswith("resnet-bench: ")
            return code, line
        assert captured.err == ""
        return code, captured.out

    return compare


Compare = Callable[..., tuple[int, str]]


def slower(by: float, **changes: Any) -> list[Record]:
    """As many processes as of SPEEDS, a second run of theirs, whose steps take longer by a part."""
    return processes([s * (1 + by) for s in SPEEDS], **{"run_id": "second"} | changes)


def test_equal_runs_tie_and_pass(write: Write, compare: Compare) -> None:
    base, new = write("base", *processes(SPEEDS)), write("new", *slower(0.001))
    code, text = compare(base, new, "--fail-if", "slower=3%", "memory=5%", "accuracy=1pt")
    assert code == 0
    assert "Speed of 1 cell: 1 tied." in text
    assert "**Passes** `slower=3%` `memory=5%` `accuracy=1pt`." in text
    assert "Cannot be decided" not in text


def test_a_slower_cell_is_told_and_named(write: Write, compare: Compare) -> None:
    base = write("base", *processes(SPEEDS), *processes(SPEEDS, **JAX))
    new = write("new", *slower(0.05), *slower(0.0, **JAX))
    code, text = compare(base, new, "--fail-if", "slower=3%")
    assert code == 1
    assert "1 slower, 1 tied" in text
    [line] = [line for line in text.splitlines() if line.startswith("- ") and "beyond" in line]
    assert line.startswith("- torch\\_module eager, train" if "\\_" in line else "- torch_module")
    assert "speed 4.8 % slower, beyond slower=3%" in line
    cells = table_cells(text)
    assert cells[1] == "640 → 610"
    assert cells[2].startswith("0.952 [0.9")
    assert compare(base, new, "--fail-if", "slower=10%")[0] == 0
    assert compare(base, new)[0] == 0


def test_the_sides_may_be_exchanged(write: Write, compare: Compare) -> None:
    base, new = write("base", *processes(SPEEDS)), write("new", *slower(0.05))
    code, text = compare(new, base, "--fail-if", "slower=0%")
    assert code == 0
    assert "1 faster" in text
    assert table_cells(text)[2].startswith("1.050 [1.0")


def test_what_scatters_too_much_is_undecided_and_does_not_fail(
    write: Write, compare: Compare
) -> None:
    base = write("base", *processes([1.0, 1.2, 0.9]))
    new = write("new", *processes([1.1, 1.3, 0.95], run_id="second"))
    code, text = compare(base, new, "--fail-if", "slower=3%")
    assert code == 0
    assert "Cannot be decided:\n\n- torch_module eager" in text
    assert "but its interval reaches" in text


def test_one_process_decides_nothing(write: Write, compare: Compare) -> None:
    base, new = write("base", timed([1.0])), write("new", timed([2.0], run_id="second"))
    code, text = compare(base, new, "--fail-if", "slower=3%")
    assert code == 0
    assert "1 without an interval, of which nothing can be said" in text
    assert "50.0 % slower, from one process, which gives no interval" in text


def test_verdicts_account_for_the_number_of_cells(write: Write, compare: Compare) -> None:
    def cells(by: float, run_id: str) -> list[Record]:
        rows = slower(by, run_id=run_id)
        for seed in range(1, 20):
            rows += slower(0.0, seed=seed, run_id=run_id)
        return rows

    # of p = 0.03 in one comparison: sure enough alone, and not among 20
    alone = write("alone", *slower(0.0))
    many = write("many", *cells(0.0, "second"))
    by = 0.0136
    assert "1 slower" in compare(alone, write("alone-slower", *slower(by)))[1]
    assert "20 tied" in compare(many, write("many-slower", *cells(by, "third")))[1]


def test_a_difference_below_the_noise_floor_is_a_tie(write: Write, compare: Compare) -> None:
    floor = {"noise_floor": {"cpu": {"value": 0.08, "replicates": 5}}}
    base, new = write("base", *processes(SPEEDS), **floor), write("new", *slower(0.05))
    code, text = compare(base, new, "--fail-if", "slower=3%")
    assert code == 0
    assert "1 tied" in text
    assert "Cannot be decided" in text


@pytest.mark.parametrize(
    ("field", "word"), [("host_peak_mib", "host memory"), ("device_peak_mib", "device memory")]
)
def test_memory_that_has_grown_fails(write: Write, compare: Compare, field: str, word: str) -> None:
    base = write("base", *processes(SPEEDS, **{field: 1000.0}))
    new = write("new", *slower(0.0, **{field: 1080.0}))
    code, text = compare(base, new, "--fail-if", "memory=5%")
    assert code == 1
    assert f"{word} 8.0 % more, beyond memory=5%" in text
    assert "1,000 → 1,080 (+8.0 % more)" in table_cells(text)
    assert compare(base, new, "--fail-if", "memory=9%")[0] == 0
    assert compare(new, base, "--fail-if", "memory=0%")[0] == 0


def test_accuracy_that_has_fallen_fails_where_its_test_images_can_tell(
    write: Write, compare: Compare
) -> None:
    gate = ("--fail-if", "slower=3%", "--fail-if", "accuracy=1pt")
    base = write("base", *processes(SPEEDS, test_accuracy=0.97))
    code, text = compare(base, write("low", *slower(0.0, test_accuracy=0.92)), *gate)
    assert code == 1
    assert "accuracy 5.0 pt lower, beyond accuracy=1pt" in text
    assert "97.0% → 92.0% (-5.0 pt lower)" in table_cells(text)

    code, text = compare(base, write("near", *slower(0.0, test_accuracy=0.95)), *gate)
    assert code == 0
    assert "accuracy 2.0 pt lower, but its interval reaches " in text
    many = {"dataset": "cifar10"}
    base = write("many", *processes(SPEEDS, test_accuracy=0.97, **many))
    assert compare(base, write("few", *slower(0.0, test_accuracy=0.95, **many)), *gate)[0] == 1


def test_training_to_a_target_is_held_against_its_time_and_not_its_speed(
    write: Write, compare: Compare
) -> None:
    def seeded(run_id: str, factor: float, **changes: Any) -> list[Record]:
        aim = {"workload": "train-to", "target_accuracy": 0.9, "evaluate_every": 10}
        times = [10.0, 10.5, 9.5, 10.2, 9.8]
        rows = processes(SPEEDS, run_id=run_id, **aim)
        return [
            replace(row, reached_train_s=factor * seconds, **changes)
            for row, seconds in zip(rows, times, strict=True)
        ]

    base = write("base", *seeded("first", 1))
    code, text = compare(base, write("new", *seeded("second", 2)), "--fail-if", "slower=3%")
    assert code == 1
    assert "time to target 100.0 % slower, beyond slower=3%" in text
    assert "10.0 → 20.0 (+100.0 % slower)" in table_cells(text)
    assert "images/s" not in text
    late = seeded("third", 1)
    late[0] = replace(late[0], reached_train_s=None, reason="not reached")
    text = compare(base, write("late", *late), "--fail-if", "slower=3%")[1]
    assert "time to target is known of one side only" in text
    never = [replace(row, reached_train_s=None) for row in late]
    code, text = compare(base, write("never", *never), "--fail-if", "slower=3%")
    assert code == 1
    assert "reached by all processes of BASE, by none of NEW" in text.split("**Fails**")[1]


def test_a_cell_that_breaks_in_one_process_fails_any_gate(write: Write, compare: Compare) -> None:
    base = write("base", *processes(SPEEDS))
    broken = [replace(slower(0.0)[0], status="crashed", reason="no luck"), *slower(0.0)[1:]]
    code, text = compare(base, write("new", *broken), "--fail-if", "slower=90%")
    assert code == 1
    assert "crashed (no luck)" in text.split("**Fails**")[1]
    assert "1 tied" in text
    known = write("known", *broken)
    assert compare(known, write("again", *slower(0.0)), "--fail-if", "slower=90%")[0] == 0


def test_what_one_side_alone_knows_is_undecided(write: Write, compare: Compare) -> None:
    base = write("base", *processes(SPEEDS, host_peak_mib=500.0))
    code, text = compare(base, write("new", *slower(0.0)), "--fail-if", "memory=5%")
    assert code == 0
    assert "host memory is known of one side only" in text


def test_a_cell_that_breaks_fails_any_gate(write: Write, compare: Compare) -> None:
    base = write("base", *processes(SPEEDS), *processes(SPEEDS, **TENSORFLOW))
    broken = record(status="oom", reason="no memory", run_id="second", **TENSORFLOW)
    new = write("new", *slower(0.0), broken)
    code, text = compare(base, new, "--fail-if", "slower=90%")
    assert code == 1
    assert f"1 of 1 processes in {new}: oom (no memory)" in text.replace("\\", "")
    assert compare(base, new)[0] == 0
    absent = record(status="unavailable", reason="not installed", run_id="third", **TENSORFLOW)
    assert compare(base, write("absent", *slower(0.0), absent), "--fail-if", "slower=90%")[0] == 0


def test_a_run_of_which_everything_broke_fails_the_gate(write: Write, compare: Compare) -> None:
    broken = record(status="crashed", reason="no luck", run_id="second")
    code, text = compare(
        write("base", *processes(SPEEDS)), write("new", broken), "--fail-if", "slower=3%"
    )
    assert code == 1
    assert "crashed (no luck)" in text.split("**Fails**")[1]


LEFT_OUT = [
    ({"weights_sha256": "c" * 64}, "other initial weights: weights_sha256 aaaaaaaaaaaa in"),
    ({"data_sha256": "c" * 64}, "other batches: data_sha256 bbbbbbbbbbbb in"),
    ({"weights_sha256": None}, "weights_sha256 is not known of all rows"),
    ({"batch_size": 32}, "with batch_size 64; {new} has it with batch_size 32"),
    ({"threads": 2}, "with threads unknown; {new} has it with threads 2"),
    ({"status": "uncertified", "reason": "gradients"}, "in {new}: uncertified (gradients)"),
]


@pytest.mark.parametrize(("changes", "reason"), LEFT_OUT)
def test_what_is_not_the_same_work_is_left_out_with_its_reason(
    write: Write, compare: Compare, changes: dict[str, Any], reason: str
) -> None:
    base = write("base", *processes(SPEEDS), *processes(SPEEDS, **JAX))
    new = write("new", *slower(0.5, **changes), *slower(0.0, **JAX))
    code, text = compare(base, new)
    assert code == 0
    assert "Speed of 1 cell: 1 tied;" in text
    assert reason.format(new=new) in text.split("### Left out")[1].replace("\\", "")


def test_runs_without_a_common_cell_are_refused(write: Write, compare: Compare) -> None:
    base, new = write("base", *processes(SPEEDS)), write("new", *slower(0.0, batch_size=1))
    code, line = compare(base, new)
    assert code == 2
    assert "no cell that can be compared" in line
    assert "batch_size 64" in line


def test_another_machine_is_said_first(write: Write, compare: Compare) -> None:
    base = write("base", *processes(SPEEDS))
    new = write("new", *slower(0.5, machine="lap", processor="Other CPU"))
    code, text = compare(base, new)
    assert code == 0
    assert text.split("\n\n")[1].startswith(
        "**Other machine**: machine desk → lap, processor Example CPU → Other CPU."
    )
    assert "1 slower" in text


def test_sides_of_several_machines_are_compared_machine_by_machine(
    write: Write, compare: Compare, tmp_path: Path
) -> None:
    for machine in ("desk", "lap"):
        write(f"base/{machine}", *processes(SPEEDS, machine=machine))
        write(f"new/{machine}", *slower(0.05, machine=machine))
    write("new/third", *slower(0.0, machine="third"))
    text = compare(tmp_path / "base", tmp_path / "new")[1]
    assert "Speed of 2 cells: 2 slower; 1 left out." in text
    assert "on desk\n" in text
    assert "with machine third" in text


def test_several_runs_are_each_compared_with_the_base(write: Write, compare: Compare) -> None:
    base, same = write("base", *processes(SPEEDS)), write("same", *slower(0.0))
    worse = write("worse", *slower(0.05, run_id="third"))
    code, text = compare(base, same, worse, "--fail-if", "slower=3%")
    assert code == 1
    assert len(re.findall("^## .* against ", text, re.MULTILINE)) == 2
    first, second = text.split("\n## ")
    assert "**Passes**" in first
    assert "**Fails**" in second


def test_what_differs_is_listed_and_what_is_the_same(write: Write, compare: Compare) -> None:
    facts = {"settings": {"threads": "2", "jit": "none"}}
    base = write("base", *processes(SPEEDS, versions={"torch": "2.0", "numpy": "2.4"}, **facts))
    facts = {"settings": {"threads": "2", "jit": "inductor"}}
    new = write("new", *slower(0.0, versions={"torch": "2.1", "numpy": "2.4"}, **facts))
    differs = compare(base, new)[1].split("### What differs")[1]
    cells = table_cells(differs)
    assert cells[cells.index("torch") :][:3] == ["torch", "2.0", "2.1"]
    assert cells[-3:] == ["jit of torch_module eager", "none", "inductor"]
    assert "numpy 2.4" in differs.split("The same in both")[1]


def test_a_users_file_is_known_by_its_name(write: Write, compare: Compare) -> None:
    mine = {"framework": "mine", "backend": "mine"}
    base = write("base", *processes(SPEEDS, implementation="/a/mine.py", **mine))
    new = write("new", *slower(0.05, implementation="/b/mine.py", **mine))
    text = compare(base, new)[1]
    assert "1 slower" in text
    assert table_cells(text)[-3:] == ["file", "/a/mine.py", "/b/mine.py"]


def test_rows_given_twice_count_once(write: Write, compare: Compare, tmp_path: Path) -> None:
    write("base/one", *processes(SPEEDS))
    write("base/two", *processes(SPEEDS))
    text = compare(tmp_path / "base", write("new", *slower(0.0)))[1]
    assert "5 of 10 rows are repeated, and count once" in text


def test_the_same_rows_on_both_sides_are_said(write: Write, compare: Compare) -> None:
    base = write("base", *processes(SPEEDS))
    assert "the same rows are on both sides: first" in compare(base, base)[1]


def test_processes_that_each_have_a_seed_are_compared_seed_by_seed(
    write: Write, compare: Compare, tmp_path: Path
) -> None:
    def seeded(run_id: str, letters: str) -> list[Record]:
        rows = processes(SPEEDS, run_id=run_id)
        return [
            replace(row, drawn_seed=seed, weights_sha256=letters[seed] * 64)
            for seed, row in enumerate(rows)
        ]

    base, new = write("base", *seeded("first", "abcde")), write("new", *seeded("second", "abcde"))
    assert "1 tied" in compare(base, new)[1]
    unsaid = write("unsaid", *(replace(r, weights_sha256="X" * 64) for r in slower(0.0)))
    assert "other initial weights" in compare(write("old", *processes(SPEEDS)), unsaid)[1]
    said = write("said", *(replace(r, drawn_seed=0, weights_sha256="X" * 64) for r in slower(0.0)))
    assert "other initial weights" in compare(tmp_path / "old", said)[1]
    other = write("other", *seeded("third", "abcdX"))
    code, line = compare(base, other)
    assert code == 2
    assert "other initial weights: weights_sha256 eeee" in line


def drifting(run_id: str, drift: float, slowdown: float) -> list[Record]:
    """A run on a machine that is slower by a part, twice that in every other process: torch_module,
    and Keras on JAX beside it that is slower by `slowdown` than in other runs.
    """
    steady = (1.0, 1.001, 0.999, 1.0005, 0.9995)
    machine = [1 + drift * (1 + index % 2) for index in range(len(steady))]
    return [
        *processes([m * s for m, s in zip(machine, steady, strict=True)], run_id=run_id),
        *processes([m * (1 + slowdown) for m in machine], **{"run_id": run_id} | JAX),
    ]


def test_a_control_cancels_what_the_machine_did(write: Write, compare: Compare) -> None:
    base = write("base", *drifting("first", 0.0, 0.0))
    new = write("new", *drifting("second", 0.1, 0.0))
    changed = write("changed", *drifting("third", 0.1, 0.05))
    gate = ("--fail-if", "slower=3%")
    assert compare(base, new, *gate)[0] == 1  # the machine alone
    code, text = compare(base, new, "--control", "torch_module", *gate)
    assert code == 0
    assert "Speed of 1 cell: 1 tied." in text
    code, text = compare(base, changed, "--control", "torch_module eager", *gate)
    assert code == 1
    assert "1 slower" in text
    assert "keras_functional[jax] compiled, train resnet14" in text
    assert "4.8 % slower, beyond slower=3%" in text
    assert table_cells(text)[1] == "640 → 535"  # as they were measured
    assert "### The control\n\n- torch_module eager, train resnet14" in text
    assert "held against the control" in text


def test_what_has_no_control_beside_it_is_left_out(write: Write, compare: Compare) -> None:
    rows = [drifting(name, 0.0, 0.0) for name in ("first", "second")]
    alone = [processes(SPEEDS, run_id=name, batch_size=8, **JAX) for name in ("first", "second")]
    base, new = (write(name, *a, *b) for name, a, b in zip(("b", "n"), rows, alone, strict=True))
    code, text = compare(base, new, "--control", "torch_module")
    assert code == 0
    assert "Speed of 1 cell: 1 tied; 1 left out." in text
    assert "torch_module, the control, did not run beside it" in text
    only = [write(f"only {name}", *processes(SPEEDS, run_id=name)) for name in ("1st", "2nd")]
    code, line = compare(*only, "--control", "torch_module")
    assert code == 2
    assert "have nothing else in common" in line
    code, line = compare(base, new, "--control", "torch_modul")
    assert code == 2
    assert "--control torch_modul: unknown cell of both sides" in line
    assert "did you mean 'torch_module eager'?" in line


def test_what_breaks_fails_the_gate_beside_a_control_too(write: Write, compare: Compare) -> None:
    aim = {"workload": "train-to", "target_accuracy": 0.9, "reached_train_s": 10.0}
    base, new = (
        [*drifting(name, 0.0, 0.0), *processes(SPEEDS, run_id=name, **aim)]
        for name in ("first", "second")
    )
    gate = ("--control", "torch_module", "--fail-if", "slower=90%")
    before = write("base", *base)
    assert compare(before, write("sound", *new), *gate)[0] == 0
    for which in range(0, len(new), len(SPEEDS)):  # the control, what is beside it, and to a target
        rows = list(new)
        rows[which] = replace(rows[which], status="crashed", reason="no luck")
        code, text = compare(before, write(f"broken {which}", *rows), *gate)
        assert code == 1, which
        assert "crashed (no luck)" in text.split("**Fails**")[1]


def test_a_control_must_be_one_cell_of_a_contest(write: Write, compare: Compare) -> None:
    sides = [
        write(name, *drifting(name, 0.0, 0.0), *processes(SPEEDS, run_id=name, mode="compiled"))
        for name in ("first", "second")
    ]
    code, line = compare(*sides, "--control", "torch_module")
    assert code == 2
    assert (
        "may be 'torch_module eager' or 'torch_module compiled'; name one of them in full" in line
    )
    assert compare(*sides, "--control", "torch_module compiled")[0] == 0


def test_a_single_file_will_do(write: Write, compare: Compare) -> None:
    base, new = write("base", *processes(SPEEDS)), write("new", *slower(0.05))
    (base / "run.json").unlink()
    assert "1 slower" in compare(base / "records.jsonl", new / "records.jsonl")[1]


LINE = record().to_json().encode()
DAMAGED = [
    (b"", "{file}: holds no records"),
    (LINE, "holds no records ({file}, line 1: cut off, as a killed run leaves it; left out)"),
    (b"\xff\xfe\n", "{file}, line 1: not UTF-8 text (byte 0xff at column 1)"),
    (LINE + b"\n\n", "{file}, line 2: not JSON"),
    (LINE + b"\nEpoch 1/3\n", "{file}, line 2: not JSON"),
    (LINE[:90] + b"\n" + LINE + b"\n", "{file}, line 1: not JSON"),
    (b"schema,run_id\n1,first\n", "{file}, line 1: not JSON"),
    (LINE + b"\n" + LINE.replace(b'"model"', b'"modell"') + b"\n", "{file}, line 2: not a record"),
    (LINE.replace(b'"schema": 1', b'"schema": 2') + b"\n", "{file}, line 1: schema 2 is newer"),
]


@pytest.mark.parametrize(("content", "wrong"), DAMAGED)
def test_a_damaged_file_is_named_with_its_line(
    write: Write, compare: Compare, content: bytes, wrong: str
) -> None:
    base, new = write("base", *processes(SPEEDS)), write("new")
    file = new / "records.jsonl"
    file.write_bytes(content)
    code, line = compare(base, file)
    assert code == 2
    assert wrong.format(file=file) in line


def test_a_line_that_a_killed_run_cut_off_is_said(write: Write, compare: Compare) -> None:
    base, new = write("base", *processes(SPEEDS)), write("new", *slower(0.0))
    with (new / "records.jsonl").open("ab") as file:
        file.write(LINE[:100])
    code, text = compare(base, new)
    assert code == 0
    assert "line 6: cut off" in text.split("### Remarks")[1]


def test_a_published_run_of_the_first_version_is_compared(compare: Compare) -> None:
    published = Path(__file__).parents[2] / "results" / "20261123-004002-quick"
    code, text = compare(published, published, "--fail-if", "slower=50%")
    assert code == 0
    assert "Speed of 24 cells: 24 tied; 2 left out." in text


def test_the_exit_code_is_that_of_the_program(
    write: Write, resnet_bench: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    base, new = write("base", *processes(SPEEDS)), write("new", *slower(0.05))
    finished = resnet_bench("compare", base, new, "--fail-if", "slower=3%")
    assert (finished.returncode, finished.stderr) == (1, "")
    assert finished.stdout.startswith("## ")


def test_the_comparison_is_written_where_asked(
    write: Write, compare: Compare, tmp_path: Path
) -> None:
    base, new = write("base", *processes(SPEEDS)), write("new", *slower(0.0))
    _, text = compare(base, new, "--out", tmp_path / "comparison.md")
    assert (tmp_path / "comparison.md").read_text(encoding="utf-8") == text
    code, line = compare(base, new, "--out", tmp_path / "nowhere" / "comparison.md")
    assert (code, "cannot be written" in line) == (2, True)


def test_text_from_outside_stays_text(write: Write, compare: Compare) -> None:
    versions = {"numpy": HOSTILE}
    hostile = {"machine": f"={HOSTILE}", "processor": HOSTILE, "versions": versions}
    contender = {"implementation": f"{HOSTILE}.py", "dataset": HOSTILE}
    base = write("base", *processes(SPEEDS, **contender), *processes(SPEEDS, **JAX))
    failed = record(status="crashed", reason=f"={HOSTILE}", run_id="second", **hostile, **JAX)
    settings = {HOSTILE: "none"}
    new = write("new", *slower(0.05, settings=settings, **hostile, **contender), failed)
    code, text = compare(base, new, "--fail-if", "slower=3%")
    assert code == 1
    html = MarkdownIt("commonmark").enable("table").render(text)
    assert not {"<script>", "<a ", "<h1>"} & set(re.findall(r"<\w+[ >]", html))
    assert html.count("<h2>") == 1
    assert " ".join(HOSTILE.split()) in table_cells(text)  # as it is


def test_the_rate_of_false_alarms_is_small(write: Write, compare: Compare) -> None:
    draw = random.Random(1)

    def cells(run_id: str) -> list[Record]:
        return [
            row
            for seed in range(100)
            for row in processes(
                [math.exp(draw.gauss(0, 0.02)) for _ in range(5)], seed=seed, run_id=run_id
            )
        ]

    text = compare(write("base", *cells("a")), write("new", *cells("b")))[1]
    [answer] = [line for line in text.splitlines() if line.startswith("Speed of 100 cells")]
    assert int(answer.split(" tied")[0].split()[-1]) >= 95
