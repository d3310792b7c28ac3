"""What all commands print with: the console, tables, and a status in its colour."""

import sys
from functools import cache
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

STYLES = {"ok": "green", "unavailable": "yellow", "unsupported": "yellow"}  # all others: red


class Terminal(Console):
    """A console that leaves it to the caller what a closed pipe means."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


@cache
def console() -> Console:
    """Standard output, wide enough for a ranking where it is no terminal; [brackets] are text."""
    return Terminal(width=None if sys.stdout.isatty() else 120, markup=False, highlight=False)


def plain_table(**options: Any) -> Table:
    """A table without lines, as all commands show them."""
    return Table(box=None, header_style="dim", pad_edge=False, title_justify="left", **options)


def status_text(status: str) -> Text:
    """A status in its colour, as wide as the longest."""
    return Text(f"{status:11}", STYLES.get(status, "red"))
