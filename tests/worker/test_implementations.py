"""Users' files as Python would import them: with dataclasses, pickles and own processes."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.parent.child import Child
from bench.worker import implementations
from bench.worker.protocol import Build

StartChild = Callable[..., tuple[Child, Build]]

MODERN = """\
from __future__ import annotations

import multiprocessing
import pickle
from dataclasses import dataclass
from typing import ClassVar

from fake_implementation import Implementation as Good


@dataclass
class Options:
    kind: ClassVar[str] = "options"
    width: int = 1


def wider(options: Options) -> Options:
    return Options(options.width + 1)


class Implementation(Good):
    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        assert pickle.loads(pickle.dumps(Options(3))) == Options(3)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.apply(wider, (Options(3),)) == Options(4)
"""


def test_a_file_may_have_dataclasses_and_hand_them_to_processes(
    fake: Path, start_child: StartChild
) -> None:
    path = fake.with_name("modern.py")
    path.write_text(MODERN)
    child, build = start_child(path)
    assert child.ask(build, 60).build_s > 0


def test_a_file_with_the_name_of_a_module_takes_nobodys_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name, text in (("random", "x = 1"), ("v1.2", "x = 2"), ("my-net", "x = 3")):
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        before = sys.modules.get(name)
        module = implementations.load_module(str(path))
        assert sys.modules[module.__name__] is module
        assert before is None or sys.modules[name] is before is not module


def test_a_file_that_fails_leaves_no_half_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    path = tmp_path / "breaks_off.py"
    path.write_text("x = 1\nraise RuntimeError('here')\n")
    with pytest.raises(RuntimeError, match="here"):
        implementations.load_module(str(path))
    assert not [name for name in sys.modules if name.startswith("breaks_off")]
