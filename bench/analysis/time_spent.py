"""Where the wall time of a run went: seconds by what they were spent on."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.records import Record, Run

BEFORE = ("data", "largest_batch", "peaks", "certificates")  # parts that end before measuring


@dataclass(frozen=True)
class TimeSpent:
    """The wall time of one run, but for its reports, which are written afterwards."""

    parts_s: dict[str, float]  # what it was spent on -> seconds, in the order of a run; their sum
    measuring_s: float  # what came after certification
    timed_s: float  # within that, inside timed blocks and first steps

    @property
    def wall_s(self) -> float:
        """Seconds of the whole run."""
        return sum(self.parts_s.values())

    @property
    def timed_share(self) -> float | None:
        """Of the time after certification; None where nothing was measured."""
        return self.timed_s / self.measuring_s if self.measuring_s else None


def time_spent(run: Run, records: Sequence[Record]) -> TimeSpent | None:
    """Where the wall time of `run` went, by its own records; None where it did not keep account.

    Processes that an earlier version measured kept no account, and count for nothing.
    """
    if not run.spent_s:
        return None
    rows = [record for record in records if record.request_s]

    def asked_s(*names: str) -> float:
        return sum(row.request_s.get(name, 0.0) for row in rows for name in names)

    measuring_s = run.spent_s.get("measuring", 0.0)
    first_s = sum(row.first_step_s or 0.0 for row in rows)
    blocks_s = sum(sum(row.block_s) for row in rows)
    every_s = sum(sum(row.request_s.values()) for row in rows)
    parts_s = {
        **{name.replace("_", " "): run.spent_s.get(name, 0.0) for name in BEFORE},
        "imports and builds": asked_s("build"),
        "first steps": first_s,
        "warm-up": asked_s("warm_up") - first_s,
        "blocks": blocks_s,
        "around the blocks": asked_s("block") - blocks_s,
        "latency": asked_s("latency"),
        "accuracy": asked_s("finish", "evaluate"),
        "audits": asked_s("audit"),
        "other": measuring_s - every_s,
    }
    return TimeSpent(parts_s, measuring_s, first_s + blocks_s)
