"""`resnet-bench compare`: runs against a base, and whether they pass a gate."""

import argparse
from pathlib import Path

from bench.cells import UsageError
from bench.compare.changes import changed
from bench.compare.gate import judge, limits
from bench.compare.sides import match, side
from bench.reports import comparison


def run(options: argparse.Namespace) -> int:
    """Print each NEW against BASE; 1 where a cell is beyond what `--fail-if` allows, else 0."""
    given = limits(options.fail_if)
    base, *news = [side(path) for path in (options.base, *options.new)]
    matched = [(new, *match(base, new)) for new in news]
    for new, pairs, left_out in matched:
        if not pairs and not any(each.broken for each in left_out):
            first = left_out[0]
            raise UsageError(
                f"{base.name} and {new.name}: have no cell that can be compared "
                f"({first.cell.label}: {first.reason})"
            )
    found = changed(base, [(new, pairs) for new, pairs, _ in matched])
    parts, failed = [], False
    for (new, _, left_out), cells in zip(matched, found, strict=True):
        judgement = judge(cells, left_out, given)
        failed = failed or bool(judgement.failed)
        parts.append(comparison.render(base, new, cells, left_out, judgement, given))
    text = "\n\n".join([*parts, comparison.READING]) + "\n"
    if options.out:
        _write(options.out, text)
    print(text, end="")
    return 1 if failed else 0


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--out {path}: cannot be written ({error.strerror})") from None
