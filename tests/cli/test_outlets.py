"""Output that is closed, full, narrow or no terminal: nothing ends by it, and nothing is cut."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.records import Record, Run
from bench.records.folder import RunFolder
from bench.reports.formats.plain_table import plain_table
from bench.validation import plain
from builders import run, timed
from resnet_impls.catalogue import CATALOGUE

HERE = [sys.executable, "-m", "bench"]
SHELL = f"'{sys.executable}' -m bench"


def shell(command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """The folder of a run with one record, whose names are of many scripts."""
    folder = RunFolder.create(tmp_path / "run", run(command="resnet-bench run # Größe × 3 – ½"))
    folder.append(timed([1.0, 1.1], processor="Größe × 3 – ½ 処理"))
    return folder.path


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has a device that is full")
def test_output_that_is_full_is_told_in_a_line() -> None:
    finished = shell(f"{SHELL} list >/dev/full")
    assert finished.returncode == 1
    assert finished.stderr == (
        "resnet-bench: the output could not be written (No space left on device)\n"
    )
    assert shell(f"{SHELL} list >/dev/full 2>/dev/full").returncode == 1


def test_descriptors_may_be_closed(measured: Path) -> None:
    assert shell(f"{SHELL} report '{measured}' <&- >&- 2>&-").returncode == 0
    assert (measured / "report.md").read_text(encoding="utf-8").startswith("# ")
    assert len((measured / "records.jsonl").read_bytes().splitlines()) == 1


def test_what_an_encoding_lacks_is_written_as_escapes(measured: Path) -> None:
    variables = {name: v for name, v in os.environ.items() if name != "PYTHONIOENCODING"}
    variables |= {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}  # ASCII
    words = [*HERE, "report", str(measured)]
    finished = subprocess.run(words, env=variables, capture_output=True, timeout=120)
    assert finished.returncode == 0, finished.stderr
    assert b"Traceback" not in finished.stderr
    assert rb"\u51e6\u7406" in finished.stdout


def on_a_terminal(columns: int, *words: str) -> str:
    """What a command shows on a terminal of so many columns, but for its colours."""
    main_end, their_end = pty.openpty()
    with subprocess.Popen(
        [*HERE, *words],
        env=os.environ | {"COLUMNS": str(columns), "TERM": "xterm"},
        stdout=their_end,
    ) as process:
        os.close(their_end)
        shown = b""
        while True:
            try:
                chunk = os.read(main_end, 65536)
            except OSError:  # the other end is closed
                break
            if not chunk:
                break
            shown += chunk
    os.close(main_end)
    assert process.returncode == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", shown.decode())


def test_names_and_numbers_are_never_cut() -> None:
    words = {mode for row in CATALOGUE.values() for each in row.backends for mode in each.modes}
    for row in CATALOGUE.values():
        one = len(row.backends) == 1
        words |= {row.name if one else f"{row.name}[{each.name}]" for each in row.backends}
    shown = shell(f"{SHELL} list | cat", COLUMNS="40").stdout
    assert words <= set(shown.split())
    assert "…" not in shown
    narrow = on_a_terminal(50, "list")
    assert words <= set(narrow.split())
    assert "…" not in narrow


def test_a_table_that_is_too_wide_is_stacked(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    table = plain_table(title="what")
    for name in ("contender", "images/s"):
        table.add_column(name, no_wrap=True)
    table.add_row("keras_functional[jax] compiled", "1,000 [900, 1,100]")
    table.add_row("torch_module eager", "")
    Console(width=30, markup=False).print(table)
    assert capsys.readouterr().out.split("\n")[:4] == [
        "what",
        "keras_functional[jax] compiled",
        "  images/s 1,000 [900, 1,100]",
        "torch_module eager",
    ]
    Console(width=80, markup=False).print(table)
    assert "contender                       images/s" in capsys.readouterr().out


ACTING = "\x1b]0;owned\x07\x1b[31m\x9b2J\u202e\r"


def test_no_name_or_reason_acts_on_a_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    described: Run = run(command=f"resnet-bench {ACTING}")
    row: Record = timed([1.0], processor=f"chip {ACTING}", machine=f"desk {ACTING}")
    folder = RunFolder.create(tmp_path / "run", described)
    folder.append(row)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text(
        json.dumps(plain(described) | {"machine": {"cpu": ACTING}})
    )
    for words in (
        ["report", str(folder.path)],
        ["report", str(tmp_path)],
        ["report", str(folder.path), "--baseline", ACTING],
        ["compare", str(folder.path), str(folder.path)],
        ["run", "--impl", ACTING],
    ):
        main(words)
        said = capfd.readouterr()
        for text in (said.out, said.err):
            assert not set(text) & set("\x1b\x07\x9b\u202e\r"), words


def test_a_fault_of_the_program_is_one_line_and_a_traceback_in_a_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(options: object) -> int:
        error = ZeroDivisionError("by\nnothing")
        error.add_note("go on by: resnet-bench run --resume here")
        raise error

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("bench.cli.list.run", fail)
    assert main(["list"]) == 70
    [line] = capsys.readouterr().err.splitlines()
    [file] = tmp_path.iterdir()
    assert line.startswith("resnet-bench: ZeroDivisionError: by; this is a fault of resnet-bench")
    assert str(file) in line
    assert line.endswith("; go on by: resnet-bench run --resume here")
    assert "ZeroDivisionError: by\nnothing" in file.read_text()


def test_a_full_disk_is_no_fault_of_the_program(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(options: object) -> int:
        raise OSError(28, "No space left on device", "/somewhere")

    monkeypatch.setattr("bench.cli.list.run", fail)
    assert main(["list"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("resnet-bench: /somewhere: No space left on device: free some")


def test_a_place_that_is_gone_is_told(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    python = f"PYTHONPATH='{Path(__file__).parents[2]}' {SHELL}"
    finished = shell(f"cd '{tmp_path}/gone' && rmdir ../gone && {python} list")
    assert finished.returncode == 2
    assert finished.stderr.startswith("resnet-bench: the working directory is gone")


def test_a_run_goes_on_without_a_reader_and_redraws_nothing_in_a_file(
    fake: Path, tmp_path: Path
) -> None:
    words = "--optimizer sgd --no-certify --profile smoke --workload train"
    command = f"{SHELL} run --impl '{fake}' {words} --out '{tmp_path}/run'"
    first = f"{command} | sed '/32mok/q' >'{tmp_path}/log'; echo ${{PIPESTATUS[0]}}"
    finished = shell(first, FORCE_COLOR="1")
    assert (finished.stdout, finished.stderr) == ("0\n", "")
    assert len((tmp_path / "run" / "records.jsonl").read_bytes().splitlines()) == 1
    assert (tmp_path / "run" / "report.md").exists()
    shown = (tmp_path / "log").read_text(encoding="utf-8", errors="replace")
    assert "\x1b[32mok" in shown
    assert not [code for code in ("\x1b[2K", "\x1b[1A", "\x1b[?25l", "\r") if code in shown]
