"""A table on a terminal that cuts nothing: where it is too wide, its rows are stacked."""

from collections.abc import Iterator
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Column, Table
from rich.text import Text

BETWEEN = 2  # characters from column to column
NARROWEST = 16  # characters to which a column that may wrap is wrapped


class PlainTable(Table):
    """A table without lines, whose cells are text."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = sum(map(_least, self.columns)) + BETWEEN * (len(self.columns) - 1)
        if width <= options.max_width:
            yield from super().__rich_console__(console, options)
        else:
            yield from self._stacked()

    def _stacked(self) -> Iterator[Text]:
        """The title, and for each row its first cell and below it the others by their names."""
        if self.title:
            yield _text(self.title)
        for cells in zip(*(map(_text, column.cells) for column in self.columns), strict=True):
            yield cells[0]
            for column, cell in zip(self.columns[1:], cells[1:], strict=True):
                if cell.plain.strip():
                    yield Text.assemble("  ", (f"{column.header} ", "dim"), cell)


def plain_table(**options: Any) -> PlainTable:
    """A table as all commands show them."""
    return PlainTable(box=None, header_style="dim", pad_edge=False, title_justify="left", **options)


def _least(column: Column) -> int:
    """The characters that a column takes at least."""
    texts = [_text(column.header), *map(_text, column.cells)]
    widest = max(cell_len(line) for text in texts for line in text.plain.split("\n"))
    return widest if column.no_wrap else min(widest, NARROWEST)


def _text(cell: RenderableType) -> Text:
    return cell if isinstance(cell, Text) else Text(str(cell))
