"""`resnet-bench compare`: runs against a base, and whether they pass a gate."""

import argparse
from pathlib import Path

from bench.cli.arguments import limit
from bench.errors import UsageError

UNDECIDED = 3  # the exit code of a gate that measured too little to say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is compared, with what, and what fails."""
    add = parser.add_argument
    add(
        "base",
        type=Path,
        metavar="BASE",
        help="the run to compare with: its folder, a folder of runs, or a records.jsonl",
    )
    add("new", nargs="+", type=Path, metavar="NEW", help="runs, each to be compared with BASE")
    add(
        "--control",
        metavar="NAME",
        help="an implementation that did not change and ran beside the others in BASE and NEW: "
        "speeds are held against its, so that what the machine did between the runs cancels",
    )
    add(
        "--fail-if",
        nargs="+",
        action="extend",
        type=limit,
        default=[],
        metavar="LIMIT",
        help="limits such as slower=3%%, memory=5%% or accuracy=1pt: exit with 1 where a cell is "
        "surely worse, and by more than that",
    )
    add(
        "--undecided",
        choices=("pass", "fail"),
        default="pass",
        help="with --fail-if: exit with 3 where nothing fails, but a cell cannot be decided "
        "(default: pass)",
    )
    add("--json", action="store_true", help="print it as JSON, for programs, and not as Markdown")
    add("--out", type=Path, metavar="FILE", help="write the comparison to this file too")


def run(options: argparse.Namespace) -> int:
    """Print each NEW against BASE; 1 where a cell is beyond what `--fail-if` allows.

    Else UNDECIDED where a cell cannot be decided and `--undecided` is `fail`, or 0.
    """
    from bench.compare import markdown
    from bench.compare.comparison import comparisons
    from bench.compare.gate import limits
    from bench.compare.sides import side

    given = limits(options.fail_if)
    base, *news = [side(path) for path in (options.base, *options.new)]
    found = comparisons(base, news, given, options.control)
    if options.json:
        import json

        from bench.compare.summary import summaries
        from bench.validation import plain

        text = json.dumps(plain(summaries(found)), indent=2, allow_nan=False) + "\n"
    else:
        text = markdown.render(found, given, controlled=options.control is not None)
    if options.out:
        _write(options.out, text)
    print(text, end="")
    if any(each.judgement.failed for each in found):
        return 1
    undecided = any(each.judgement.undecided for each in found)
    return UNDECIDED if undecided and options.undecided == "fail" else 0


def _write(path: Path, text: str) -> None:
    from bench.files import write_named

    try:
        write_named(path, text)
    except OSError as error:
        raise UsageError(f"--out {path}: cannot be written ({error.strerror})") from None
