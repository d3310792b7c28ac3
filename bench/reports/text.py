"""Pieces of Markdown: figures, tables, and text from outside that must stay text."""

import html
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.analysis.statistics import Estimate

LONG = 20  # lines of a section that a reader would rather open than scroll past


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; columns of figures, which begin with a digit or a dash, are set right."""
    rows = [[escape(cell) for cell in row] for row in rows]
    figures = [all(re.match(r"[-–\d]", row[index]) for row in rows) for index in range(len(header))]
    lines = [header, ["---:" if each and rows else "---" for each in figures], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escape(text: str) -> str:
    """Text from outside, kept from acting as Markdown or HTML."""
    special = r"[\\`*<>&|~]|\](?=[(\[:])|(?<![^\W_])_|_(?![^\W_])"
    return re.sub(f"({special})", r"\\\1", " ".join(text.split()))


def code(text: str) -> str:
    """Text from outside as a block of shell, whose fence is longer than any that is in it."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}sh\n{text}\n{fence}"


def details(title: str, text: str) -> str:
    """Markdown that a reader opens by clicking on its `title`, which is text from outside."""
    summary = f"<summary>{html.escape(' '.join(title.split()))}</summary>"
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


def code_version(run: Mapping[str, Any]) -> str | None:
    """`0.1.0 (commit 8eec895f1c2a)`: what made a run, by its `run.json`; None where unknown."""
    version, commit = run.get("resnet_bench"), run.get("commit")
    return f"{version} (commit {commit})" if version and commit else version
