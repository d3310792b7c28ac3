"""A comparison: one run against another, with what a gate says of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.compare.changes import Changed, changed
from bench.compare.gate import Judgement, judge
from bench.compare.sides import LeftOut, Pair, Side, hold, match
from bench.errors import UsageError


@dataclass(frozen=True)
class Comparison:
    """One NEW against BASE."""

    base: Side
    new: Side
    cells: Sequence[Changed]
    left_out: Sequence[LeftOut]
    controls: Sequence[Changed]  # what speeds are held against, and how their own changed
    judgement: Judgement

    def _repr_html_(self) -> str:
        """What `resnet-bench compare` prints, which is how notebooks show a comparison."""
        from bench.compare import markdown
        from bench.reports.text import rendered

        return rendered(markdown.render([self], {}, controlled=bool(self.controls)))


@dataclass(frozen=True)
class _Matched:
    """What is compared of a NEW, what is not, and the controls."""

    new: Side
    pairs: Sequence[Pair]
    left_out: Sequence[LeftOut]
    controls: Sequence[Pair] = ()


def comparisons(
    base: Side, news: Sequence[Side], limits: Mapping[str, float], control: str | None = None
) -> list[Comparison]:
    """Each NEW against BASE, held against the limits; verdicts account for the number of cells.

    Raises UsageError where two sides have no cell that can be compared, or no such control.
    """
    matched = [_matched(base, new, control) for new in news]
    found = changed(base, [(each.new, each.pairs) for each in matched])
    return [
        Comparison(
            base=base,
            new=each.new,
            cells=cells,
            left_out=each.left_out,
            controls=changed(base, [(each.new, each.controls)])[0],
            judgement=judge(cells, each.left_out, limits),
        )
        for each, cells in zip(matched, found, strict=True)
    ]


def _matched(base: Side, new: Side, control: str | None) -> _Matched:
    pairs, left_out = match(base, new)
    controls: list[Pair] = []
    if control is not None and pairs:
        controls, pairs, without = hold(pairs, control)
        left_out = [*left_out, *without]
    both = f"{base.name} and {new.name}"
    if not pairs and not left_out:
        raise UsageError(f"--control {control}: {both} have nothing else in common")
    if not pairs and not any(each.broken for each in left_out):
        first = left_out[0]
        raise UsageError(
            f"{both}: have no cell that can be compared ({first.cell.label}: {first.reason})"
        )
    return _Matched(new, pairs, left_out, controls)
