"""`resnet-bench compare`: runs against a base, and whether they pass a gate."""

import argparse
from pathlib import Path

from bench.compare import markdown as comparison
from bench.compare.changes import changed
from bench.compare.gate import judge, limits
from bench.compare.sides import LeftOut, Pair, Side, hold, match, side
from bench.errors import UsageError


def run(options: argparse.Namespace) -> int:
    """Print each NEW against BASE; 1 where a cell is beyond what `--fail-if` allows, else 0."""
    given = limits(options.fail_if)
    base, *news = [side(path) for path in (options.base, *options.new)]
    matched = [_matched(base, new, options.control) for new in news]
    for new, pairs, left_out, _ in matched:
        if not pairs and not left_out:
            both = f"{base.name} and {new.name}"
            raise UsageError(f"--control {options.control}: {both} have nothing else in common")
        if not pairs and not any(each.broken for each in left_out):
            first = left_out[0]
            raise UsageError(
                f"{base.name} and {new.name}: have no cell that can be compared "
                f"({first.cell.label}: {first.reason})"
            )
    found = changed(base, [(new, pairs) for new, pairs, *_ in matched])
    parts, failed = [], False
    for (new, _, left_out, controls), cells in zip(matched, found, strict=True):
        judgement = judge(cells, left_out, given)
        failed = failed or bool(judgement.failed)
        [moved] = changed(base, [(new, controls)])
        parts.append(comparison.render(base, new, cells, left_out, judgement, given, moved))
    reading = comparison.HELD if options.control else comparison.READING
    text = "\n\n".join([*parts, reading]) + "\n"
    if options.out:
        _write(options.out, text)
    print(text, end="")
    return 1 if failed else 0


def _matched(
    base: Side, new: Side, control: str | None
) -> tuple[Side, list[Pair], list[LeftOut], list[Pair]]:
    """NEW, what is compared of it, what is not, and the controls."""
    pairs, left_out = match(base, new)
    if control is None or not pairs:
        return new, pairs, left_out, []
    controls, held, without = hold(pairs, control)
    return new, held, [*left_out, *without], controls


def _write(path: Path, text: str) -> None:
    try:
        write(path, text.encode())
    except OSError as error:
        raise UsageError(f"--out {path}: cannot be written ({error.strerror})") from None
