"""Which rows of a ranking cannot be told apart: many comparisons at once, and their letters."""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Protocol, TypeVar

from bench.analysis.statistics import CONFIDENCE

Pair = tuple[int, int]  # two rows of a ranking by their places, the earlier first


class Judged(Protocol):
    """A comparison, as a frozen dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def p_value(self) -> float | None: ...

    @property
    def verdict(self) -> str | None: ...


Key = TypeVar("Key", bound=Hashable)
OneJudged = TypeVar("OneJudged", bound=Judged)


def judged_together(found: Mapping[Key, OneJudged]) -> dict[Key, OneJudged]:
    """Comparisons with verdicts that account for how many they are: a difference that so many may
    show by chance is a tie.
    """
    sure = {key: each.p_value for key, each in found.items() if each.p_value is not None}
    rates = false_discovery_rates(list(sure.values()))
    ties = {key for key, rate in zip(sure, rates, strict=True) if rate >= 1 - CONFIDENCE}
    return {
        key: replace(each, verdict="tie") if key in ties else each for key, each in found.items()
    }


def false_discovery_rates(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number, after Benjamini and Hochberg (1995).

    Where those below 0.05 are called differences, 5 % of what is called so is false on average,
    and where all rows are equal, 95 of 100 rankings call nothing a difference. Holm's rule, which
    keeps 95 of 100 rankings free of any false one, tells next to nothing from the three or five
    processes of a run: of 13 rows and 3 processes a pair would have to differ by 39 standard
    errors, and 1.00 beside 0.75 would be a tie. `tests/benchmarks/coverage.py groups` compares.
    """
    adjusted = [1.0] * len(p_values)
    smallest = 1.0
    descending = sorted(range(len(p_values)), key=lambda index: -p_values[index])
    for rank, index in zip(range(len(p_values), 0, -1), descending, strict=True):
        smallest = min(smallest, p_values[index] * len(p_values) / rank)
        adjusted[index] = smallest
    return adjusted


def letters(rows: Sequence[int], apart: Collection[Pair]) -> dict[int, str]:
    """A compact letter display of ascending `rows`: two share a letter unless they are `apart`.

    A row may have several letters. Each stands for rows none of which can be told from another, and
    to which no row could be added.
    """
    tied = {
        row: {other for other in rows if (min(row, other), max(row, other)) not in apart}
        for row in rows
    }
    groups: list[set[int]] = []
    for index, row in enumerate(rows):
        for other in [later for later in rows[index + 1 :] if later in tied[row]] or [row]:
            if not any({row, other} <= group for group in groups):
                group = {row, other}
                for candidate in rows:
                    if group <= tied[candidate]:
                        group.add(candidate)
                groups.append(group)
    groups.sort(key=sorted)
    return {
        row: "".join(_letter(number) for number, group in enumerate(groups) if row in group)
        for row in rows
    }


def _letter(number: int) -> str:
    """a to z, then a1 to z1 and so on."""
    return f"{chr(ord('a') + number % 26)}{number // 26 or ''}"
