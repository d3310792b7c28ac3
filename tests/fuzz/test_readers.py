"""Every reader beneath damaged input: it answers in one line, or what it takes can be used.

The short form is part of the tests; `pytest -m long tests/fuzz` tries many more.
"""

import resource
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bench.data import images
from bench.errors import UsageError
from bench.records.record import BLOCKS
from bench.validation import plain
from documents import as_json
from readers import READERS, ROWS, RUN, Check, toml

SHORT = 15  # inputs for each reader; the long form has as many as READERS says
AT_ONCE = 1000  # inputs: hypothesis remembers all that it tried until it is done
GROWTH_MIB = 600  # of memory, however many inputs: a file may say that it is larger than it is
MOST_MIB = 4000  # of it at once: what takes more fails here, with its input, instead of the machine


def fuzz(check: Check, given_by: st.SearchStrategy[Any], place: Path, examples: int) -> None:
    """Try a check on many inputs; what raises anything but UsageError fails, with its input."""
    said: list[str] = []
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    @settings(
        max_examples=min(examples, AT_ONCE),
        deadline=60_000,  # a hang, however busy the machine
        database=None,
        derandomize=examples <= SHORT,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(given_by)
    def attempt(value: Any) -> None:
        try:
            check(value, place)
        except UsageError as error:
            said.append(str(error))

    with limited(MOST_MIB):
        for _ in range(0, examples, AT_ONCE):
            attempt()
    assert all(line.strip() for line in said)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    assert grown_kib < GROWTH_MIB * 1024


@contextmanager
def limited(mib: int) -> Iterator[None]:
    """Nothing here may get `mib` more of memory than this process has."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + mib * 2**20, -1))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


NEEDED = ("impl", "device", "steps", "batch_size")  # of a request whose cells are wanted


def changed(document: Any, **changes: Any) -> bytes:
    return as_json(plain(document) | changes)


# Inputs that ended in a traceback once
SEEDS: list[tuple[str, Any]] = [
    ("a record", changed(ROWS[-1], accuracies=[])),  # an evaluation took time, and told nothing
    ("a record", changed(ROWS[0], busy=True, steady=False, block_s=[1.0], block_steps=[10])),
    ("a record", changed(ROWS[0], busy=True, block_stolen_cores=[0.0] * len(ROWS[0].block_s))),
    *(
        ("a record", changed(row, busy=True, steady=False, **{name: [0.5] * count}))
        for row in (ROWS[0], ROWS[3])
        for name in BLOCKS
        for count in (1, 9)
    ),
    ("run.json", changed(RUN, options={})),
    ("run.json", changed(RUN, options=plain(RUN.options) | {"replicates": 10**9})),
    ("run.json", changed(RUN, options=plain(RUN.options) | {"steps": 10**17})),
    *(("run.json", changed(RUN, options=plain(RUN.options) | {name: None})) for name in NEEDED),
    ("run.json", changed(RUN, spent_s={"measuring": 0.0})),
    ("run.json", changed(RUN, spent_s={"data": 0.0, "measuring": 5e-324})),
    ("run.json", changed(RUN, options=plain(RUN.options) | {"seed": 10**400})),
    ("run.json", as_json("@deep@")),
    ("run.json", changed(RUN, budget_s="@digits@")),
    ("machines.toml", toml({"desk": {"power_w": "@digits@"}})),
    ("machines.toml", toml({"desk": {"power_w": "@deep@"}})),
    ("weights", struct.pack("<Q", 2**63) + b"{}"),
    ("the command line", ["run", "--seed", "9" * 5000]),
    ("the command line", ["run", "--replicates", "9" * 15]),
]


@pytest.mark.parametrize(("reader", "seed"), SEEDS, ids=[name for name, _ in SEEDS])
def test_what_failed_once_is_answered(reader: str, seed: Any, place: Path) -> None:
    with limited(MOST_MIB), suppress(UsageError):
        READERS[reader][1](seed, place)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("bench.machine.facts.gpus", lambda: ())
    for name in ("CIFAR10_TRAIN", "CIFAR10_TEST"):
        monkeypatch.setattr(images, name, dict.fromkeys(getattr(images, name), 1))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("reader", READERS)
def test_a_few_damaged_inputs_end_in_one_line_or_are_used(reader: str, place: Path) -> None:
    _, check, inputs = READERS[reader]
    fuzz(check, inputs, place, SHORT)


@pytest.mark.long
@pytest.mark.parametrize("reader", READERS)
def test_many_damaged_inputs_end_in_one_line_or_are_used(reader: str, place: Path) -> None:
    examples, check, inputs = READERS[reader]
    fuzz(check, inputs, place, examples)
