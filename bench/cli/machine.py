"""`resnet-bench machine`: what this machine is, and what it can do."""

import argparse
import json

from bench.cli.arguments import wait_argument
from bench.validation import plain


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to show beside the facts."""
    parser.add_argument(
        "--peaks",
        action="store_true",
        help="measure the peak rates of this machine too, which takes some seconds",
    )
    parser.add_argument(
        "--machine-name", metavar="NAME", help="the name to show (default: the host's)"
    )
    wait_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Show the facts about this machine that every run keeps, as JSON."""
    from bench.calibrate import peaks
    from bench.cli.terminal import notice
    from bench.machine import facts
    from bench.machine.exclusive import alone

    shown = plain(facts.this_machine(options.machine_name))
    if options.peaks:
        with alone(wait=options.wait, say=notice):
            shown["peaks"] = plain(peaks.of_this_machine())
    print(json.dumps(shown, indent=2))
    return 0
