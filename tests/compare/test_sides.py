"""Which rows of two sides are the same measurement, and which are left out."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.records import Record
from builders import (
    JAX,
    SPEEDS,
    processes,
    record,
    slower,
    table_cells,
)

Write = Callable[..., Path]
Compare = Callable[..., tuple[int, str]]


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
    (
        LINE + b"\n" + LINE.replace(b'"model"', b'"modell"') + b"\n",
        "{file}, line 2: Object missing required field model",
    ),
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
