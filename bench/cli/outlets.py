"""Standard output and standard error that may be closed, full or narrow, and end nothing by that.

What can no longer be written is dropped, and the caller is told at the end.
"""

import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from bench.words import printable


class Outlet(io.FileIO):
    """A descriptor that drops what cannot be written, and keeps the first reason why."""

    failure: OSError | None = None

    def write(self, content: Any, /) -> int:
        while self.failure is None:
            try:
                written = super().write(content)
            except OSError as error:
                self.failure = error
                break
            if written is not None:
                return written
            select.select([], [self], [])  # another program has made it non-blocking
        return len(content)


class Harmless(io.TextIOWrapper):
    """Text that is shown as it is: no name and no reason in it acts on a terminal."""

    def write(self, text: str, /) -> int:
        super().write(printable(text))
        return len(text)


@contextmanager
def enduring() -> Iterator[Outlet | None]:
    """Standard output and error as they are to be written to; yields that of the output.

    A stream that is not the process's own, as in a test, stays as it is.
    """
    _fill_closed()
    before = sys.stdout, sys.stderr
    output = _outlet(sys.stdout, sys.__stdout__, 1)
    error = _outlet(sys.stderr, sys.__stderr__, 2)
    if output:
        sys.stdout = _text(output, before[0], line_buffering=output.isatty())
    if error:
        sys.stderr = _text(error, before[1], line_buffering=True, kind=Harmless)
    try:
        yield output
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                with suppress(ValueError):  # closed by whoever was called
                    stream.flush()
        sys.stdout, sys.stderr = before


def told(failure: OSError | None) -> str | None:
    """Why output was lost, in a line; None where nothing was, or its reader has seen enough."""
    if failure is None or failure.errno == errno.EPIPE:
        return None
    return f"the output could not be written ({failure.strerror})"


def _fill_closed() -> None:
    """Put the null device where a standard descriptor is closed: a file opened later would take
    its number, and with it what frameworks print.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def _outlet(stream: TextIO | None, own: TextIO | None, number: int) -> Outlet | None:
    return Outlet(number, "w", closefd=False) if stream is own else None


def _text(
    outlet: Outlet,
    like: TextIO | None,
    *,
    line_buffering: bool,
    kind: type[io.TextIOWrapper] = io.TextIOWrapper,
) -> TextIO:
    """Text that is written to `outlet` in the encoding of a stream: what that lacks as escapes."""
    encoding = like.encoding if like else "utf-8"
    return kind(
        io.BufferedWriter(outlet),
        encoding=encoding,
        errors="backslashreplace",
        line_buffering=line_buffering,
    )
