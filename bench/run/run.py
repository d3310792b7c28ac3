"""One run: from what is requested, and a place for it, to a folder of records.

`begin` starts a new run and `resume` goes on with an earlier one. Neither reads a command line nor
writes a report: they tell a caller what happens by `say` and by a `Display`.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from bench import __version__, cache
from bench.calibrate import largest, noise
from bench.cells import Cell
from bench.data.sharing import shared_data
from bench.errors import UsageError
from bench.machine import packages
from bench.machine.exclusive import alone
from bench.machine.facts import this_machine
from bench.plan.budget import REPORTS
from bench.plan.shards import Part, cut
from bench.records import versions
from bench.records.folder import RunFolder, check_free
from bench.records.run import LeftOut, Rerun, Run
from bench.request.request import Request
from bench.run.budgeted import within
from bench.run.check import cells_here, check_code, check_machine, check_weights
from bench.run.going_on import OpenDisplay, Say, go_on
from bench.run.here import commit


@dataclass(frozen=True)
class Ended:
    """A run that has ended for now: its folder, and whether it was interrupted."""

    folder: RunFolder
    interrupted: bool
    took_s: float | None = None  # since it was begun; None of one that was resumed


def begin(
    request: Request,
    path: Path,
    *,
    command: str,
    timeout_s: float,
    say: Say,
    display: OpenDisplay,
    machine_name: str | None = None,
    budget_s: float | None = None,
    rerun: Rerun | None = None,
    shard: tuple[int, int] | None = None,
    wait: bool = False,
    until: ExitStack,
) -> Ended:
    """Measure all that a filled-in request asks for, into a new folder `path`; only the rows of
    `rerun` where there is one, and only a `shard` of the plan, by its number and their count.

    `command` is what `run.json` says the run was begun by; `timeout_s` is how long a worker may
    take to answer one request. Other measurements on this machine are kept away `until` the
    caller's work with the run ends, too; `wait` for the end of one that goes on. Raises UsageError
    where the request cannot be met here, or another measurement goes on, and KeyboardInterrupt
    where it comes before the folder is there.
    """
    cells = _rows(cells_here(request), request, rerun)
    own = cut(request, cells, shard[1])[shard[0] - 1] if shard else None
    cells = list(own.cells) if own else cells
    check_weights(cells)
    check_free(path)
    cache.writable(cache.folder())  # where peaks and certificates are kept
    cache.sweep()
    left_out: tuple[LeftOut, ...] = ()
    with ExitStack() as stack:
        locked = until.enter_context(alone(wait=wait, say=say))
        began, began_s = datetime.now(UTC), monotonic()  # who waits has not begun
        if budget_s:
            request, cells, left_out = within(request, cells, budget_s, say)
        folders = stack.enter_context(_data(request, cells))
        read_s = monotonic()
        request = largest.found(request, cells, folders, timeout_s, say)
        run = described(request, path, began, command, machine_name)
        spent_s = {"data": read_s - began_s, "largest_batch": monotonic() - read_s}
        run = replace(run, spent_s=spent_s, budget_s=budget_s, left_out=left_out, rerun=rerun)
        run = replace(run, locked=locked)
        if own:
            run = replace(run, shard=own.shard)
            if other := versions.beside(path, run):
                say(f"warning: shards of this plan are measured by different versions: {other}")
        ends_s = began_s + budget_s * (1 - REPORTS) if budget_s else None
        with RunFolder.create(path, run).held() as folder:
            elsewhere = own.elsewhere if own else ()
            interrupted = go_on(folder, cells, folders, timeout_s, say, display, ends_s, elsewhere)
        return Ended(folder, interrupted, took_s=monotonic() - began_s)


def resume(
    path: Path,
    *,
    timeout_s: float,
    say: Say,
    display: OpenDisplay,
    wait: bool = False,
    until: ExitStack,
) -> Ended:
    """Measure what is missing of the run in `path`; arguments and exceptions are those of `begin`.

    Raises UsageError where there is no run, or one that was begun on another machine, or a shard of
    a plan that is not cut here as it was.
    """
    with RunFolder.open(path).held() as folder:
        exclusive = alone(wait=wait, say=say)
        return _resume(folder, timeout_s, say, display, exclusive, until)


def _resume(
    folder: RunFolder,
    timeout_s: float,
    say: Say,
    display: OpenDisplay,
    exclusive: AbstractContextManager[bool],
    until: ExitStack,
) -> Ended:
    check_code(folder)
    check_machine(folder)
    cache.sweep()
    if other := packages.changes(folder.run.packages, packages.installed()):
        say(f"not as when the run began: {'; '.join(other)}")
    request = folder.run.options
    left_out = {each.what for each in folder.run.left_out}
    cells = _rows(cells_here(request), request, folder.run.rerun)
    own = _part_of(folder, cells)
    cells = [
        cell
        for cell in (own.cells if own else cells)
        if not left_out & {cell.label, cell.contest_label}
    ]
    check_weights(cells)
    with ExitStack() as stack:
        locked = until.enter_context(exclusive)
        folder.note(locked=locked and folder.run.locked is not False)
        with folder.spending("data"):
            folders = stack.enter_context(_data(request, cells))
        with folder.spending("largest_batch"):
            completed = largest.found(request, cells, folders, timeout_s, say)
        if completed != request:
            folder.note(options=completed)
        elsewhere = own.elsewhere if own else ()
        interrupted = go_on(folder, cells, folders, timeout_s, say, display, elsewhere=elsewhere)
        return Ended(folder, interrupted)


def _part_of(folder: RunFolder, cells: Sequence[Cell]) -> Part | None:
    """The part of an earlier run; None of a whole one."""
    shard = folder.run.shard
    if shard is None:
        return None
    own = cut(folder.run.options, cells, shard.of)[shard.number - 1]
    if own.shard != shard:
        raise UsageError(
            f"--resume {folder.path}: this version cuts the plan of shard {shard.name} another "
            f"way than resnet-bench {folder.run.code_version}, which began it; go on with that"
        )
    return own


def _rows(cells: list[Cell], request: Request, rerun: Rerun | None) -> list[Cell]:
    """Those of the cells that are measured again. Raises UsageError where one is no more."""
    if rerun is None:
        return cells
    names = {cell: largest.numbered(request, [cell], {})[0][0].name for cell in cells}
    if gone := set(rerun.rows) - set(names.values()):
        raise UsageError(f"{rerun.of}: nothing is called {'; '.join(sorted(gone))} here any more")
    return [cell for cell in cells if names[cell] in rerun.rows]


def _data(request: Request, cells: Sequence[Cell]) -> AbstractContextManager[dict[Cell, Path]]:
    return shared_data(cells, Path(request.data_dir) if request.data_dir else None)


def described(
    request: Request, path: Path, began: datetime, command: str, machine_name: str | None
) -> Run:
    """What `run.json` says of a new run in the folder `path`."""
    machine = this_machine(machine_name)
    return Run(
        run_id=path.resolve().name,
        utc=began.isoformat(timespec="seconds"),
        resnet_bench=__version__,
        commit=commit(),
        command=command,
        options=replace(_absolute(request), also=tuple(map(_absolute, request.also))),
        machine=machine,
        noise_floor=noise.known(request.devices, request.replicates or 1, machine),
        packages=packages.installed(),
    )


def _absolute(request: Request) -> Request:
    """With whole paths of implementations, since a run may be resumed from another folder."""
    names = request.impl or ()
    whole = (str(Path(name).absolute()) if name.endswith(".py") else name for name in names)
    return replace(request, impl=tuple(whole))
