"""What all commands print with: the console, and a status in its colour."""

import sys
from collections.abc import Iterable
from functools import cache

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from bench.words import printable

STYLES = {"ok": "green", "unavailable": "yellow", "unsupported": "yellow"}  # all others: red
UNBOUNDED = 100_000  # columns of an output that is no terminal, and has no width


class Terminal(Console):
    """A console on which no character of a name or a reason acts: colours alone are ours."""

    @property
    def is_screen(self) -> bool:
        """Whether what was shown can be drawn again; FORCE_COLOR asks for colours alone."""
        return self.is_interactive and self.file.isatty()

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)


@cache
def console() -> Terminal:
    """Standard output, of any width where it is no terminal; [brackets] are text."""
    width = None if sys.stdout.isatty() else UNBOUNDED
    return Terminal(width=width, markup=False, highlight=False)


def notice(line: str) -> None:
    """One line for people, beside an output that a program may read."""
    print(printable(line), file=sys.stderr, flush=True)


def status_text(status: str) -> Text:
    """A status in its colour, as wide as the longest."""
    return Text(f"{status:11}", STYLES.get(status, "red"))
