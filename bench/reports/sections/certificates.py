"""What was proved of each executable that was measured."""

from bench.reports.report import Report
from bench.reports.text import details, table

MANY = 8  # rows from which on those that passed are folded
NOTE = (
    "Whether an executable computes the reference's function: in float64, where rounding hides "
    "nothing, and as it is timed."
)


def section(report: Report) -> str:
    """One row for each executable, those that passed below the others."""
    verdicts: dict[tuple[str, str, str], None] = {}  # several of an executable, of different runs
    for r in report.records:
        if r.status in ("ok", "uncertified"):
            trained = r.cell.training.label if r.cell.training else "–"
            name = f"{r.cell.known_as} {r.model} {r.device} {r.precision} {trained}"
            float64 = r.certificate_float64 or "not certified"
            verdicts[name, float64, r.certificate_timed or "not certified"] = None
    passed = [row for row in verdicts if row[1:] == ("passed", "passed")]
    others = [row for row in verdicts if row not in passed]
    header = ["executable", "float64", "as timed"]
    parts = ["## Certificates", NOTE]
    if others or not passed:
        parts.append(table(header, others))
    if passed:
        listed = table(header, passed)
        few = len(verdicts) <= MANY
        parts.append(listed if few else details(f"{len(passed)} passed both", listed))
    return "\n\n".join(parts)
