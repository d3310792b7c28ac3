"""What `resnet-bench report` checks and says beside a report, whatever its size."""

import sys
from collections.abc import Iterable, Sequence

from bench.errors import UsageError, unknown
from bench.records import manifest
from bench.records.finding import Found
from bench.records.folder import RunFolder


def conclude(found: Sequence[Found], warnings: Iterable[str]) -> int:
    """Say on stderr what a reader must know; returns the exit code."""
    for path in (folder.path for each in found for folder, _ in each.runs if folder.goes_on):
        print(f"resnet-bench: {path}: the run goes on; this is its state by now", file=sys.stderr)
    left_out = [reason for each in found for reason in each.unreadable.values()]
    for reason in left_out:
        print(f"resnet-bench: left out {reason}", file=sys.stderr)
    for line in warnings:
        print(f"resnet-bench: warning: {line}", file=sys.stderr)
    return 1 if left_out else 0


def check_baseline(given: str | None, names: Iterable[str]) -> None:
    """Raises UsageError for a machine or processor that no record is of."""
    known = dict.fromkeys(names)
    if given is not None and given not in known:
        raise UsageError(f"--baseline {given}: {unknown('machine or processor', given, known)}")


def altered_since(folder: RunFolder) -> list[str]:
    """One line where what was measured is not as it was when the run ended."""
    found = manifest.altered(folder.path)
    return [f"{folder.run.run_id}: {'; '.join(found)} since the run ended"] if found else []
