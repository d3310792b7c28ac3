"""The signals that end this program, or that let it go on after a stop, and when they take effect.

Ctrl-C, SIGTERM and SIGHUP are alike. The first lets a block that is being measured come to its end,
the second does not wait for it. Where nothing is measured, each takes effect at once, as a
KeyboardInterrupt.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AGAIN_S = 0.01
# What goes on while the machine sleeps, as `time.monotonic` does not
CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
SLEEP_S = 0.5  # from here on it is one


def _slept_s() -> float:
    """For how long the machine has slept since it was started, or since some other time."""
    return time.clock_gettime(CLOCK) - time.monotonic()


class _Seen:
    """What came so far."""

    interrupts = 0
    finishing = False  # something that the first interrupt waits for
    stops = 0
    slept_s = _slept_s()


def answer() -> None:
    """Answer the signals from now on, but for those that are ignored, as by nohup.

    To be called in the main thread, by a program and not by a library.
    """
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    signal.signal(signal.SIGCONT, _continued)
    sys.unraisablehook = _unraisable


def interrupts() -> int:
    """How many signals to end have come."""
    return _Seen.interrupts


def stops() -> int:
    """How often this process was stopped, as by Ctrl-Z or since the machine slept, and went on."""
    slept_s = _slept_s()
    if slept_s - _Seen.slept_s > SLEEP_S:
        _Seen.slept_s = slept_s
        _Seen.stops += 1
    return _Seen.stops


@contextlib.contextmanager
def finishing() -> Iterator[None]:
    """The first signal to end takes effect after what is done within; the second at once."""
    before, _Seen.finishing = _Seen.interrupts, True
    try:
        yield
    finally:
        _Seen.finishing = False
        if _Seen.interrupts > before:  # whatever became of it
            raise KeyboardInterrupt


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Signals to end take effect after what is done within, such as the start of a process that is
    to be known before it can be ended.

    By handlers and no mask, since libraries have threads that a signal may reach as well.
    """
    got: list[int] = []
    ours = threading.current_thread() is threading.main_thread()
    usual = {int(n): found for n in ENDING * ours if callable(found := signal.getsignal(n))}
    try:
        for number in usual:
            signal.signal(number, lambda number, _: got.append(number))
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
        for number in got:
            signal.raise_signal(number)


def _interrupt(number: int, frame: FrameType | None) -> None:
    _Seen.interrupts += 1
    if not _Seen.finishing or _Seen.interrupts > 1:
        raise KeyboardInterrupt


def _continued(number: int, frame: FrameType | None) -> None:
    _Seen.stops += 1


def _unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    """An interrupt that came where nothing can be raised, as in a finalizer, comes once more."""
    if not issubclass(unraisable.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)
        return
    _Seen.interrupts -= 1
    again = threading.Timer(AGAIN_S, os.kill, (os.getpid(), signal.SIGINT))
    again.daemon = True
    again.start()
