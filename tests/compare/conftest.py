"""What the tests of `resnet-bench compare` share: folders of runs, and the command."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.cli.main import main
from bench.records import Record
from bench.validation import plain
from builders import run

Write = Callable[..., Path]
Compare = Callable[..., tuple[int, str]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A run's folder with these records."""

    def write(name: str, *rows: Record, **changes: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        facts = run(**{"run_id": rows[0].run_id if rows else name} | changes)
        (folder / "run.json").write_text(json.dumps(plain(facts)), encoding="utf-8")
        text = "".join(f"{row.to_json()}\n" for row in rows)
        (folder / "records.jsonl").write_text(text, encoding="utf-8")
        return folder

    return write


@pytest.fixture
def compare(capfd: pytest.CaptureFixture[str]) -> Compare:
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
