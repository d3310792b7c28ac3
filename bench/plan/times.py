"""What this machine was seen to take, kept in the cache after each run.

A file that is damaged, or of another version, counts as absent: estimates are then those of a new
machine.
"""

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from bench import cache
from bench.errors import UsageError
from bench.plan.observed import Observed, latest
from bench.records.run import Peak
from bench.validation import NotNegative, plain

MOST = 400  # cells of runs that are kept, the latest
MOST_CERTIFICATES = 200
FORMAT = 1
ENTRY = "times.json"


@dataclass(frozen=True, kw_only=True)
class Times:
    """What is remembered of this machine."""

    format: int = FORMAT
    observed: tuple[Observed, ...] = ()
    # seconds that the latest half of each certificate took, by `parts.half_name`
    certificates_s: Mapping[str, NotNegative] = field(default_factory=dict)
    peaks: Mapping[str, Mapping[str, Peak]] = field(default_factory=dict)  # the latest, as in a run


def known() -> Times:
    """What is remembered; nothing where there is nothing that can be read."""
    found = cache.read_as(ENTRY, Times)
    return found if found and found.format == FORMAT else Times()


def remember(
    found: Iterable[Observed] = (),
    certificates_s: Mapping[str, float] | None = None,
    peaks: Mapping[str, Mapping[str, Peak]] | None = None,
) -> None:
    """Add what a run took. A cache that cannot be written to is not worth the end of a run."""
    with suppress(UsageError, OSError), cache.updating(ENTRY):
        now = _merged(known(), found, certificates_s or {}, peaks or {})
        cache.keep(ENTRY, json.dumps(plain(now)) + "\n")


def _merged(
    before: Times,
    found: Iterable[Observed],
    certificates_s: Mapping[str, float],
    peaks: Mapping[str, Mapping[str, Peak]],
) -> Times:
    certificates = {**before.certificates_s, **certificates_s}
    merged = {device: dict(table) for device, table in before.peaks.items()}
    for device, table in peaks.items():
        merged.setdefault(device, {}).update(table)
    there = [each for each in (*before.observed, *found) if not _gone(each)]
    return Times(
        observed=tuple(latest(there, MOST)),
        certificates_s=dict(list(certificates.items())[-MOST_CERTIFICATES:]),
        peaks=merged,
    )


def _gone(seen: Observed) -> bool:
    """Whether it is of a user's file that is no more, as one of a test."""
    return seen.implementation.endswith(".py") and not os.path.isfile(seen.implementation)
