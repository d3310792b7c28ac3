"""A certificate: the checks that an executable passed or failed, and the verdict in words."""

from dataclasses import dataclass

Check = tuple[str, float | None, float]  # name, error (None: no number), largest that passes


@dataclass(frozen=True)
class Half:
    """One half of a certificate: all checks as (name, error, limit), or why there are none."""

    checks: tuple[Check, ...] = ()
    failure: str | None = None
    instead: str | None = None  # the precision that stands in for float64, which is not to be had

    @property
    def passed(self) -> bool:
        """Whether there are checks, and none of them failed."""
        return self.failure is None and bool(self.checks) and not self.failed

    @property
    def failed(self) -> list[Check]:
        """The checks whose error exceeds the limit; None stands for an error that is no number."""
        return [check for check in self.checks if check[1] is None or check[1] > check[2]]

    @property
    def verdict(self) -> str:
        """`passed`, or the first check that failed and by how much."""
        if self.failure:
            return f"failed: {self.failure}"
        if not self.checks:
            return "failed: nothing was checked"
        if not self.failed:
            return f"passed in {self.instead}, no float64 there" if self.instead else "passed"
        # a missing tensor says little of how far the functions are apart: the next check does
        told = self.failed[: 2 if self.failed[0][0] == "tensors" else 1]
        left = len(self.failed) - len(told)
        more = f"; {left} more check{'s' * (left > 1)} failed" if left else ""
        return f"failed: {'; '.join(_told(*check) for check in told)}{more}"


def stated(name: str, error: float | None) -> str:
    """An error, or a limit, of a check: tensors are counted, all else is relative."""
    if error is None:
        return "no number"
    return f"{error:.0f}" if name in ("tensors", "skipped steps") else f"{error:.1e}"


def _told(name: str, error: float | None, limit: float) -> str:
    if name == "tensors":
        return f"{stated(name, error)} tensor{'s' * (error != 1)} missing or in excess"
    if error is None:
        return f"{name} cannot be compared (no number)"
    if name == "skipped steps":
        return f"{stated(name, error)} of 20 steps skipped by loss scaling"
    size = f"{error:.1%}" if error >= 1e-3 else f"{error:.1e}"
    return f"{name} off by {size} (limit {limit:.0e})"


@dataclass(frozen=True)
class Certificate:
    """Proof that what a cell runs is the reference's function, or where it differs."""

    float64: Half
    timed: Half

    @property
    def passed(self) -> bool:
        """Whether both halves are."""
        return self.float64.passed and self.timed.passed
