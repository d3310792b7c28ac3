"""The certificates of a run, and how long they took, for the plans after it."""

import time
from collections.abc import Callable, Sequence

from bench.calibrate.certify import certified, missing
from bench.cells import Cell
from bench.executables import Executable
from bench.identity.certificate import Certificate
from bench.machine import cpus
from bench.plan import times
from bench.plan.estimate import Estimator
from bench.plan.parts import halves_s, side_by_side_s
from bench.plan.sources import able


def proofs(
    cells: Sequence[Cell], known: Estimator, timeout_s: float, say: Callable[[str], None]
) -> dict[Executable, Certificate]:
    """The certificates of all cells that can run here.

    What they took together is remembered half by half, in the proportions of the estimate; not
    where the reference's own solution had to be worked out too.
    """
    running = able(cells)
    wanted, problems = missing(dict.fromkeys(cell.executable for cell in running))
    began_s = time.monotonic()
    found = certified(cells, timeout_s, say)
    if wanted and not problems:
        estimated = halves_s(known, running, wanted, measured={})
        together_s = side_by_side_s(estimated.values(), len(cpus.allowed()))
        ratio = (time.monotonic() - began_s) / together_s
        times.remember(certificates_s={name: s * ratio for name, s in estimated.items()})
    return found
