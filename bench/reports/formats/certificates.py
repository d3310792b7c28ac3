"""A certificate per row: what was compared with the reference, and how far apart they were."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from bench.errors import UsageError
from bench.executables import Executable, backend
from bench.files import write_named
from bench.identity.certificate import Certificate, Half
from bench.obstacles import installed
from bench.reports.text import table, table_row

HEADER = (
    *("implementation", "model", "device", "precision", "optimizer"),
    *("float64, after 20 steps", "as timed: error / limit", "verdict", "versions", "certified by"),
)
OF = 5  # columns that say what a row is about

# Checks as timed, in few words; the others go without saying
SHORT = {
    "evaluation logits": "logits",
    "loss of step 1": "loss",
    "parameters after step 1": "parameters",
    "statistics after step 1": "statistics",
    "losses of 20 steps": "losses",
}


def render(
    certificates: Mapping[Executable, Certificate], by: str, kept: Iterable[str] = ()
) -> str:
    """Markdown: one row per executable, with the errors of both halves of its certificate.

    `by`: the version of resnet-bench. `kept`: lines of an earlier table; one of these executables
    is replaced in its place.
    """
    by = f"{by}, {datetime.now(UTC):%Y-%m-%d}"
    rows = [(*_row(executable, each), by) for executable, each in certificates.items()]
    head, rule, *lines = table(HEADER, rows).splitlines()
    new = {_about(line): line for line in lines}
    old = {_about(line): line for line in kept}
    return f"""# Certificates

Relative errors against `resnet_impls/numpy_reference.py`, by `resnet-bench certify`. The float64
column is the largest of parameters, statistics and losses of 20 optimizer steps, or of logits for
what only infers; where an engine computes in no float64, the logits of its most exact
precision. `as timed` repeats the comparison in the mode and precision that are timed.

{chr(10).join([head, rule, *(old | new).values()])}
"""


def save(path: Path | None, certificates: Mapping[Executable, Certificate], by: str) -> None:
    """Write them to `path`, if there is one: after each, since all of them may take hours. A table
    that is there keeps its other rows.

    Raises UsageError where it cannot be written.
    """
    if path is None:
        return
    try:
        if certificates:
            write_named(path, render(certificates, by, _rows(path)))
        elif path.is_file() or not path.exists():
            with path.open("a", encoding="utf-8"):
                pass  # it can be written; until there is something to write, it keeps what it has
    except OSError as error:
        raise UsageError(f"--out {path}: cannot be written ({error.strerror})") from None


def _rows(path: Path) -> list[str]:
    """The lines of the table in a file that `render` made; none of any other file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return lines[lines.index(table_row(HEADER)) + 2 :]
    except (FileNotFoundError, ValueError):  # UnicodeDecodeError is one, too
        return []


def _about(line: str) -> tuple[str, ...]:
    """What a row is about: its first columns."""
    return tuple(line.split(" | ")[:OF])


def _row(executable: Executable, certificate: Certificate) -> tuple[str, ...]:
    packages = backend(executable).packages
    return (
        executable.label,
        executable.model,
        executable.device,
        executable.precision,
        executable.training.label if executable.optimizer else "–",
        _worst(certificate.float64),
        _checks(certificate.timed),
        "passed" if certificate.passed else _failures(certificate),
        ", ".join(f"{name} {installed(name)}" for name in (*packages, "numpy")),
    )


def _worst(half: Half) -> str:
    errors = [error for name, error, _ in half.checks if "20" in name]
    if half.instead:
        return f"none; {half.instead}: {_checks(half)}"
    if not errors and half.checks:  # of what only infers
        errors = [error for name, error, _ in half.checks if "logits" in name]
    if not errors:
        return "–"
    return "no number" if None in errors else f"{max(e for e in errors if e is not None):.1e}"


def _checks(half: Half) -> str:
    stated = [
        f"{SHORT.get(name, name)} {'no number' if error is None else f'{error:.1e}'} / {limit:.0e}"
        for name, error, limit in half.checks
        if limit  # else it is a count
    ]
    return "; ".join(stated) or "–"


def _failures(certificate: Certificate) -> str:
    halves = {"float64": certificate.float64, "as timed": certificate.timed}
    return "; ".join(f"{name} {half.verdict}" for name, half in halves.items() if not half.passed)
