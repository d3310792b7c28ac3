"""One measurement at a time on a machine, whoever starts it: two would measure each other.

All users meet at one file, that of the first of PLACES where a file can be locked. Where a user
cannot lock what others lock, or there is no such place, a line says so and the work goes on.
RESNET_BENCH_LOCK names another file, for those who know that they do not meet: tests that run side
by side, or jobs of a cluster that each have processors of their own.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import cache, locks
from bench.errors import UsageError

VARIABLE = "RESNET_BENCH_LOCK"
NAME = "resnet-bench-machine.lock"
# By name, since each user and each job may have a TMPDIR of its own
PLACES = tuple(map(Path, ("/tmp", "/var/tmp", "/dev/shm")))

Say = Callable[[str], object]


@contextmanager
def alone(*, wait: bool, say: Say) -> Iterator[bool]:
    """Keep other measurements away while this one goes on; yields whether that is by the lock which
    all users of the machine share.

    Where one goes on already, this is to `wait` for its end, and tells by `say` for whom; or raises
    UsageError that says who measures.
    """
    path, descriptor, why = _take(wait, say)
    if why:
        say(why)
    try:
        yield path == PLACES[0] / NAME
    finally:
        if descriptor is not None:
            locks.release(path, descriptor)


def _take(wait: bool, say: Say) -> tuple[Path, int | None, str]:
    """The file, the descriptor of its lock (None: it could not be had), and what is to be said."""
    named = os.environ.get(VARIABLE)
    if named and not os.path.isabs(named):
        raise UsageError(f"{VARIABLE}={named}: give a whole path, beginning with /")
    places = [Path(named)] if named else [folder / NAME for folder in (*PLACES, cache.folder())]
    problems = []
    for path in places:
        try:
            descriptor = _of(path, wait, say)
        except OSError as error:
            if named:
                problem = f"{VARIABLE}={path}: cannot be locked ({error.strerror})"
                raise UsageError(f"{problem}; name another file, or unset it") from None
            problems.append(f"{path} cannot be locked ({error.strerror})")
        else:
            return path, descriptor, _told(problems, f"{path} is locked instead")
    return places[-1], None, _told(problems, "nothing is locked")


def _told(problems: list[str], instead: str) -> str:
    if not problems:
        return ""
    return f"{problems[0]}: {instead}, and measurements of other users may go on at the same time"


def _of(path: Path, wait: bool, say: Say) -> int:
    try:
        return locks.take(path, wait=False, mode=locks.ANYBODY)
    except BlockingIOError:
        who = locks.holder(path)
    if not wait:
        raise UsageError(
            f"another measurement goes on, and two would disturb each other: {who}; wait until it "
            "has ended, or add --wait"
        )
    say(f"waiting for another measurement to end: {who}")
    return locks.take(path, wait=True, mode=locks.ANYBODY)
