"""`resnet-bench compare` on runs: what has changed, and what is said of it."""

import math
import os
import random
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from markdown_it import MarkdownIt

from bench.records import Record
from builders import (
    HOSTILE,
    JAX,
    SPEEDS,
    processes,
    record,
    slower,
    table_cells,
)

Write = Callable[..., Path]
Compare = Callable[..., tuple[int, str]]


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


def test_another_machine_is_said_first(write: Write, compare: Compare) -> None:
    base = write("base", *processes(SPEEDS))
    new = write("new", *slower(0.5, machine="lap", processor="Other CPU"))
    code, text = compare(base, new)
    assert code == 0
    assert text.split("\n\n")[1].startswith(
        "**Other machine**: machine desk → lap, processor Example CPU → Other CPU."
    )
    assert "1 slower" in text


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


def test_a_link_or_a_device_named_for_the_comparison_stays_one(
    write: Write, compare: Compare, tmp_path: Path
) -> None:
    base, new = write("base", *processes(SPEEDS)), write("new", *slower(0.0))
    file, link, pipe = (tmp_path / name for name in ("file", "link", "pipe"))
    file.write_text("old")
    link.symlink_to("file")
    os.mkfifo(pipe)
    _, text = compare(base, new, "--out", link)
    assert link.is_symlink()
    assert file.read_text(encoding="utf-8") == text
    assert compare(base, new, "--out", "/dev/null")[0] == 0
    assert Path("/dev/null").is_char_device()
    assert "cannot be written" in compare(base, new, "--out", pipe)[1]  # nobody reads it
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert compare(base, new, "--out", pipe)[0] == 0
    assert os.read(reader, 10**6).decode() == text
    os.close(reader)
    assert pipe.is_fifo()


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
