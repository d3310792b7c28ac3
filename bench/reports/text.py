"""Pieces of Markdown: figures, tables, and text from outside that must stay text."""

import html
import math
import re
from collections.abc import Iterable, Sequence

from bench.analysis.statistics import Estimate
from bench.words import printable

SPECIAL = r"[\\`*<>&|~]|(?<![^\W_])_|_(?![^\W_])"  # in any place
LONG = 20  # lines of a section that a reader would rather open than scroll past


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table of plain text, header and body; columns whose every cell begins with a digit
    or a dash hold figures, and are set right.
    """
    rows = [[escape(cell) for cell in row] for row in rows]
    figures = [all(re.match(r"[-–\d]", row[index]) for row in rows) for index in range(len(header))]
    rule = ["---:" if each and rows else "---" for each in figures]
    return "\n".join(map(table_row, [[escape(name) for name in header], rule, *rows]))


def rendered(markdown: str) -> str:
    """Markdown as HTML, with the tables and folded parts that our reports have."""
    from markdown_it import MarkdownIt

    return str(MarkdownIt("commonmark").enable("table").render(markdown))


def table_row(cells: Iterable[str]) -> str:
    """One line of a Markdown table, of cells that are Markdown already."""
    return f"| {' | '.join(cells)} |"


def escape(text: str) -> str:
    """Text from outside, kept from acting as Markdown or HTML."""
    return _escaped(text, rf"{SPECIAL}|\](?=[(\[:])")


def link(text: str, address: str) -> str:
    """A link of plain text to an address, which is quoted as in URLs already."""
    return f"[{_escaped(text, rf'{SPECIAL}|[][]')}]({address})"


def _escaped(text: str, special: str) -> str:
    return re.sub(f"({special})", r"\\\1", printable(" ".join(text.split())))


def code(text: str) -> str:
    """Text from outside as a block of shell, whose fence is longer than any that is in it."""
    text = printable(text)
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}sh\n{text}\n{fence}"


def details(title: str, text: str) -> str:
    """Markdown that a reader opens by clicking on its `title`, which is text from outside."""
    summary = f"<summary>{html.escape(printable(' '.join(title.split())))}</summary>"
    return f"<details>\n{summary}\n\n{text}\n\n</details>"


def folded(section: str) -> str:
    """A section whose text lies folded below its heading where it is LONG, once at most."""
    heading, _, text = section.partition("\n\n")
    if text.count("\n") < LONG or "<details>" in text:
        return section
    return f"{heading}\n\n{details('Show all', text)}"


def decimals(speed: float) -> int:
    """As many as it takes to show three figures: images per second are thousands, or a few."""
    return max(0, 2 - math.floor(math.log10(speed)))


def number(value: float | None, digits: int | None = None) -> str:
    """`1,234.5`, of a speed without `digits`; a dash where the value is unknown."""
    if value is None:
        return "–"
    return f"{value:,.{decimals(value) if digits is None else digits}f}"


def interval(estimate: Estimate | None, digits: int | None = None) -> str:
    """`880 [846, 915]`, of a speed without `digits`; no brackets where there is no interval."""
    if estimate is None:
        return "–"
    digits = decimals(estimate.value) if digits is None else digits
    if estimate.low is None or estimate.high is None:
        return number(estimate.value, digits)
    low, high = number(estimate.low, digits), number(estimate.high, digits)
    return f"{number(estimate.value, digits)} [{low}, {high}]"
