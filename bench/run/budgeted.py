"""What to measure next within a wall time: three processes of each cell, then whole rounds more.

After the first replicate the real costs are known. Where three processes of all do not fit any
more, contenders go no further than that; where time is left in the end, contests go on round by
round.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from bench.calibrate import peaks
from bench.calibrate.certify import missing
from bench.cells import Cell
from bench.machine import cpus
from bench.obstacles import obstacle
from bench.parent.measurement import Task
from bench.parent.schedule import by_contest
from bench.plan import parts, times
from bench.plan.budget import PROCESSES, droppable, fit
from bench.plan.estimate import Estimator
from bench.plan.observed import observed
from bench.plan.sources import able, estimator
from bench.records import Record, Run
from bench.records.run import LeftOut
from bench.request.request import Request
from bench.run.stopping import Round, again
from bench.words import plural

MOST = 30  # processes per cell


def within(
    request: Request, cells: Sequence[Cell], budget_s: float, say: Callable[[str], None]
) -> tuple[Request, list[Cell], tuple[LeftOut, ...]]:
    """The request and the cells of a run that ends within a budget, and what is left out of it.

    Raises UsageError where the budget holds no contest.
    """
    running = able(cells)
    known_peaks, _ = peaks.known(running)
    known = estimator(request.devices, known_peaks)
    measured = times.known().certificates_s

    def before(kept: Sequence[Cell]) -> float:
        wanted_peaks = peaks.known(kept)[1]
        executables = dict.fromkeys(cell.executable for cell in kept)
        halves, problems = missing(executables) if request.certify else ([], 0)
        proofs_s = parts.certificates_s(
            known,
            kept,
            halves,
            problems=problems,
            measured=measured,
            processors=len(cpus.allowed()),
        )
        return parts.DATA_S + parts.peaks_s(wanted_peaks) + proofs_s

    found = fit(running, known, budget_s, before, len(cpus.allowed()))
    for each in found.left_out:
        say(f"left out: {each.what}: {each.reason}")
    say(
        f"budget {budget_s:.0f} s: {plural(len(found.cells), 'cell')} of {found.steps} steps in "
        f"{PROCESSES} processes each, about {found.estimated_s:.0f} s"
    )
    forbidden = [replace(cell, steps=found.steps) for cell in cells if cell not in running]
    chosen = request.every(steps=found.steps, replicates=PROCESSES)
    return chosen, [*found.cells, *forbidden], found.left_out


class Budget:
    """The rounds of a run that has `left_s()` seconds; `drop` is told what it leaves out."""

    def __init__(
        self,
        run: Run,
        records: Callable[[], list[Record]],
        say: Callable[[str], None],
        known: Estimator,
        processors: int,
        left_s: Callable[[], float],
        drop: Callable[[LeftOut], None],
    ) -> None:
        self.run, self.records, self.say, self.known = run, records, say, known
        self.processors, self.left_s, self.drop = processors, left_s, drop
        self.ratio = 1.0  # of the seconds that processes take to those estimated

    def rounds(self, cells: Sequence[Cell]) -> Iterator[Round]:
        """Tasks to measure, one list after the other."""
        began_s = self.left_s()
        first = [(cell, 0) for cell in cells]
        self.say(f"{len(cells)} cells, {PROCESSES} processes each and more while time is left")
        yield Round(first)
        going = self._learn(cells, began_s - self.left_s())
        going = self._without_slow(going)
        rest = [(cell, number) for number in range(1, PROCESSES) for cell in going]
        if rest:
            yield Round(rest)
        going = self._learn(going, began_s - self.left_s())
        yield from self._further(going)

    def _learn(self, cells: Sequence[Cell], spent_s: float) -> list[Cell]:
        """The cells that can go on: none that failed; estimates are now by what they took."""
        records = self.records()
        self.known.learn(observed(records, [self.run]))
        estimated_s = self._seconds([(r.cell, r.replicate) for r in records if r.status == "ok"])
        self.ratio = spent_s / estimated_s if estimated_s else 1.0
        failed = {record.cell for record in records if record.status != "ok"}
        return [cell for cell in cells if obstacle(cell) is None and cell not in failed]

    def _without_slow(self, cells: list[Cell]) -> list[Cell]:
        """The cells that can have PROCESSES processes in the time that is left; all of them where
        that cannot be kept by leaving any out.
        """
        going, left_out = cells, []
        while going:
            tasks = [(cell, number) for number in range(1, PROCESSES) for cell in going]
            if self._seconds(tasks) * self.ratio <= self.left_s():
                break
            label = droppable(going, {cell: self._seconds([(cell, 0)]) for cell in going})
            if label is None:
                self.say("all take longer than estimated: this run will exceed its budget")
                return cells
            slow_s = self.ratio * self._seconds([(c, 0) for c in going if c.label == label])
            why = f"one process only: its first took {slow_s:.0f} s, longer than estimated"
            left_out.append(LeftOut(what=label, reason=why))
            going = [cell for cell in going if cell.label != label]
        for each in left_out:
            self.drop(each)
        return going

    def _further(self, cells: Sequence[Cell]) -> Iterator[Round]:
        """A replicate of a contest after the other, while the next is likely to end in time; before
        new ones those that were disturbed.
        """
        for number in range(PROCESSES, MOST):
            yield from again(self.run, self.records, self.say, self._fitting)
            groups = by_contest([(cell, number) for cell in cells])
            fitting = self._fitting(groups)
            if not fitting:
                return
            self.say(f"time is left for {plural(len(fitting), 'process')} more")
            yield Round(fitting)
            if len(fitting) < sum(map(len, groups)):
                return

    def _fitting(self, groups: Sequence[list[Task]]) -> list[Task]:
        """The tasks of those groups that are likely to end in time."""
        fitting: list[Task] = []
        for group in groups:
            if self._seconds([*fitting, *group]) * self.ratio <= self.left_s():
                fitting += group
        return fitting

    def _seconds(self, tasks: Sequence[Task]) -> float:
        found = self.known.seconds(tasks, self.processors).values()
        return sum(sum(each.values()) for each in found if each is not None)
