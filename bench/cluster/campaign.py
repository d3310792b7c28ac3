"""A run that a cluster's nodes share: its folder, with a part for each shard, and what is missing.

`cluster.json` says what is measured where, and is written first. A part is there as a whole or not
at all, so a shard that is measured again, since its node was lost, is neither lost nor doubled. The
parts are shards as `run --shard` leaves them, so that `report` takes the folder as one run.
"""

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import files
from bench.errors import UsageError
from bench.validation import PositiveInt, parse, plain

NAME = "cluster.json"
LARGEST = 64 * 2**20  # bytes
LOST = "lost"  # marks a part without a measurement, which a resumed run measures again


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """What is measured, and by which nodes."""

    suite: str  # the run as TOML
    command: str
    shards: PositiveInt
    kinds: tuple[str, ...]  # names of the sets of nodes that measure the whole plan each
    each_node: bool  # a kind is a node
    resource: str | None  # that nodes must have; None: any
    cpus: PositiveInt  # that a node must have
    gpus: bool
    machine_name: str | None  # of all nodes; None: each has its own
    start: str  # the folder that the run was begun in
    address: str | None  # of the cluster
    records: tuple[int, ...] = ()  # that each shard will have at least; empty: not known


def is_of(path: Path | None) -> bool:
    """Whether a folder is that of such a run."""
    return path is not None and os.path.exists(path / NAME)


def create(path: Path, campaign: Campaign) -> None:
    """Make the folder. Raises UsageError where that cannot be done."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        files.write(path / NAME, json.dumps(plain(campaign), indent=2) + "\n")
    except OSError as error:
        raise UsageError(f"--out {path}: cannot be written ({error.strerror})") from None


def read(path: Path) -> Campaign:
    """What the folder of an earlier run says. Raises UsageError where that cannot be read."""
    try:
        return parse(files.read(path / NAME, LARGEST), Campaign)
    except OSError as error:
        raise UsageError(f"{path / NAME}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise UsageError(f"{path / NAME}: {error}") from None


def missing(path: Path, campaign: Campaign) -> Iterator[tuple[str, int]]:
    """Kind and number of each shard that no node has measured."""
    for number in range(1, campaign.shards + 1):
        for kind in campaign.kinds:
            part = part_of(path, kind, number)
            if not (part / "run.json").exists() or (part / LOST).exists():
                yield kind, number


def part_of(path: Path, kind: str, number: int) -> Path:
    """The folder of a shard."""
    return path / kind / f"part-{number}"


def parts(path: Path, campaign: Campaign) -> list[Path]:
    """The folders of all shards that are there, kind by kind."""
    every = (
        part_of(path, kind, number)
        for kind in campaign.kinds
        for number in range(1, campaign.shards + 1)
    )
    return [part for part in every if (part / "run.json").exists()]


def keep(part: Path, content: Mapping[str, bytes]) -> None:
    """Put a shard into its place, as a whole."""
    temporary = part.with_name(f"{files.TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}")
    try:
        for name, data in content.items():
            file = temporary / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        shutil.rmtree(part, ignore_errors=True)  # a part that was lost
        temporary.rename(part)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise UsageError(f"{part}: cannot be written ({error.strerror})") from None
    files.sync(part.parent)
