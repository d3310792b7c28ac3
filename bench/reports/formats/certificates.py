"""A certificate per row: what was compared with the reference, and how far apart they were."""

from collections.abc import Mapping
from pathlib import Path

from bench.errors import UsageError
from bench.executables import Executable, backend
from bench.files import write_named
from bench.identity.certificate import Certificate, Half
from bench.obstacles import installed
from bench.reports.text import table

# Checks as timed, in few words; the others go without saying
SHORT = {
    "evaluation logits": "logits",
    "loss of step 1": "loss",
    "parameters after step 1": "parameters",
    "statistics after step 1": "statistics",
    "losses of 20 steps": "losses",
}


def render(certificates: Mapping[Executable, Certificate]) -> str:
    """Markdown: one row per executable, with the errors of both halves of its certificate."""
    rows = [_row(executable, certificate) for executable, certificate in certificates.items()]
    header = (
        *("implementation", "model", "device", "precision", "optimizer"),
        *("float64, after 20 steps", "as timed: error / limit", "verdict", "versions"),
    )
    return f"""# Certificates

Relative errors against `resnet_impls/numpy_reference.py`, by `resnet-bench certify`. The float64
column is the largest of parameters, statistics and losses of 20 optimizer steps, or of logits for
what only infers; where an engine computes in no float64, the logits of its most exact
precision. `as timed` repeats the comparison in the mode and precision that are timed.

{table(header, rows)}
"""


def save(path: Path | None, certificates: Mapping[Executable, Certificate]) -> None:
    """Write them to `path`, if there is one: after each, since all of them may take hours.

    Raises UsageError where it cannot be written.
    """
    if path is None:
        return
    try:
        if certificates:
            write_named(path, render(certificates))
        elif path.is_file() or not path.exists():
            with path.open("a", encoding="utf-8"):
                pass  # it can be written; until there is something to write, it keeps what it has
    except OSError as error:
        raise UsageError(f"--out {path}: cannot be written ({error.strerror})") from None


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
