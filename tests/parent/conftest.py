"""A schedule over the digits, for tests of who measures when."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.parent.outcome import Task
from bench.parent.schedule import Schedule


@pytest.fixture
def make_schedule(digits: Path, tmp_path: Path) -> Callable[..., Schedule]:
    def make(tasks: Sequence[Task], seed: int = 0, **options: Any) -> Schedule:
        folder = tmp_path / "logs"
        folder.mkdir(exist_ok=True)
        return Schedule({cell: digits for cell, _ in tasks}, folder, 60, seed, **options)

    return make
