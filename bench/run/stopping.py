"""Which tasks come next: those of the request, again those that were disturbed, then more until all
intervals are narrow enough.

Further processes come in whole rounds, one for every cell of a contest, so that they are
interleaved like those before. The records alone decide, so that a resumed run goes on where it was.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from bench.analysis.attempts import disturbed
from bench.analysis.precision import standings
from bench.cells import Cell
from bench.obstacles import obstacle
from bench.parent.measurement import Task
from bench.parent.schedule import by_contest
from bench.records import Record, Run
from bench.words import plural


@dataclass(frozen=True)
class Round:
    """Tasks to measure next, and which attempt at their replicates that is."""

    tasks: Sequence[Task]
    attempt: int = 0


def again(
    run: Run,
    records: Callable[[], list[Record]],
    say: Callable[[str], None],
    fitting: Callable[[Sequence[list[Task]]], list[Task]] = lambda groups: list(chain(*groups)),
) -> Iterator[Round]:
    """The replicates of contests that ran on a busy machine, as often as the run may measure them
    again; of these groups of tasks only those that are `fitting`.
    """
    known = -1
    while found := disturbed(rows := records(), run.options.remeasure_busy):
        attempt = min(found)
        tasks = fitting(by_contest(found[attempt]))
        if not tasks or len(rows) == known:  # what could be measured before is gone
            return
        known = len(rows)
        say(f"the machine was busy: {plural(len(tasks), 'process')} to be measured again")
        yield Round(tasks, attempt)


def further(records: Sequence[Record], run: Run, target: float, most: int) -> list[Task]:
    """One more process for every cell of each contest that wants one; none where all are done.

    Where an earlier round was interrupted, what is missing of that.
    """
    tasks = []
    for contest in standings(records, run, target, most):
        if any(standing.wanting for standing in contest):
            going = [standing.cell for standing in contest if standing.ended is None]
            rows = {(r.cell, r.replicate) for r in records if r.cell.contest == going[0].contest}
            latest = max(replicate for _, replicate in rows)
            missing = [(cell, latest) for cell in going if (cell, latest) not in rows]
            tasks += missing or [(cell, latest + 1) for cell in going]
    return tasks


def rounds(
    run: Run,
    cells: Sequence[Cell],
    records: Callable[[], list[Record]],
    say: Callable[[str], None],
    elsewhere: Collection[Task] = (),
) -> Iterator[Round]:
    """The tasks to measure, round by round: the rest of the request's, then further ones, and after
    each those that were disturbed.

    `records` returns the records of `run` so far; `say` gets a line for each round, and its reason.
    Other shards measure the tasks `elsewhere`.
    """
    replicates = run.options.replicates or 1
    done = {(record.cell, record.replicate) for record in records()}
    tasks = [(cell, index) for cell in cells for index in range(replicates)]
    left = [task for task in tasks if task not in done and task not in elsewhere]
    unable = sum(obstacle(cell) is not None for cell, _ in left)
    line = f"{len(cells)} cells × {replicates} processes, {len(left) - unable} to measure"
    line = f"shard {run.shard.name}: {line}" if run.shard else line
    say(f"{line}, {unable} cannot run here" if unable else line)
    yield Round(left)
    yield from again(run, records, say)
    target, most = run.options.precision_target, run.options.max_replicates
    if target and most:
        while tasks := further(rows := records(), run, target, most):
            every = [s for contest in standings(rows, run, target, most) for s in contest]
            loose = sum(not standing.reached for standing in every)
            say(f"not within ±{target:.2%} yet: {loose} of {len(every)} cells, {len(tasks)} go on")
            known = len(rows)
            yield Round(tasks)
            if len(records()) == known:  # what could be measured before is gone
                return
            yield from again(run, records, say)
