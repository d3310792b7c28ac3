"""`resnet-bench cluster`: a run cut into shards for Slurm, and how far shards are."""

import argparse
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.arguments import positive
from bench.errors import UsageError, check_text

if TYPE_CHECKING:
    from bench.cluster.slurm import Asked

OWN = ("resume", "plan", "budget", "shard", "save_config", "json", "out")  # of no shard's `run`
ONE_KIND = "nodes"  # the name of the nodes where all are of one kind
TAKEN = ("logs", "merge", "merged")  # names in the folder of all shards that no kind may have


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where a run is measured, and the run."""
    engines = parser.add_subparsers(dest="engine", required=True, metavar="ENGINE")
    summary = "submit an array of shards, and a job that merges them, to Slurm"
    _slurm_arguments(engines.add_parser("slurm", help=summary))
    summary = "how far shards are, on all nodes, by their folders"
    given = engines.add_parser("status", help=summary)
    given.add_argument(
        "folders", nargs="+", type=Path, metavar="DIR", help="shards, or the folder that holds them"
    )


def _slurm_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--partition", metavar="NAME", help="partition of Slurm (default: the cluster's)")
    add("--constraint", metavar="FEATURES", help="features that nodes must have")
    add("--account", metavar="NAME", help="account of Slurm that pays")
    add("--qos", metavar="NAME", help="quality of service of Slurm")
    add("--time", metavar="LIMIT", help="time limit of each task, as Slurm has it: 2:00:00")
    add(
        "--cpus",
        type=positive,
        metavar="N",
        help="share nodes, and take N CPUs for each task (default: whole nodes, exclusively)",
    )
    add("--gpus", metavar="[TYPE:]N", help="GPUs of each task, as Slurm's --gres=gpu: has them")
    add(
        "--sbatch",
        action="append",
        default=[],
        metavar="OPTION",
        help="any other option of sbatch, for every job, as --sbatch=--reservation=bench; may be "
        "given several times",
    )
    add(
        "--on",
        nargs="+",
        metavar=("each", "FEATURE"),
        help="measure the whole plan once on each kind of node, by the features that Slurm knows "
        "them by: --on each h100 a100",
    )
    add(
        "--shards",
        type=positive,
        metavar="N",
        help="tasks that the plan is cut into (default: one for each contest)",
    )
    add(
        "--at-once", type=positive, metavar="N", help="tasks that run at the same time on each kind"
    )
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="new folder of scripts, shards and the merged report, which all nodes see (default: "
        "results/ and the time)",
    )
    add("--dry-run", action="store_true", help="print the scripts; nothing is written or submitted")
    add("inner", nargs=argparse.REMAINDER, metavar="-- run ...", help="the run to measure")


def run(options: argparse.Namespace) -> int:
    """Do what is asked of a cluster."""
    return _status(options) if options.engine == "status" else _slurm(options)


def _status(options: argparse.Namespace) -> int:
    """Show how far shards are; returns 1 where a run below a folder cannot be read."""
    from bench.cli import nodes_display
    from bench.cli.terminal import console
    from bench.cluster.status import status
    from bench.records.finding import look

    found = [look(path) for path in options.folders]
    for plan in status(folder for each in found for folder, _ in each.runs):
        nodes_display.show(plan, console())
    left_out = [reason for each in found for reason in each.unreadable.values()]
    for reason in left_out:
        print(f"resnet-bench: left out {reason}", file=sys.stderr)
    return 1 if left_out else 0


def _slurm(options: argparse.Namespace) -> int:
    """Check the run, write the scripts of its jobs, and submit them."""
    from bench.cluster import slurm
    from bench.records.folder import check_free

    asked = _asked(options)
    texts = slurm.scripts(asked)
    if options.dry_run:
        for path, text in texts.items():
            print(f"# {path}\n{text}")
        return 0
    check_free(asked.out)
    for line in slurm.submit(asked):
        print(line)
    return 0


def _asked(options: argparse.Namespace) -> "Asked":
    """What the options ask for. Raises UsageError where they or the run's contradict each other."""
    from bench.cluster.slurm import Asked

    words = options.inner[1:] if options.inner[:1] == ["--"] else options.inner
    if words[:1] != ["run"]:
        raise UsageError("cluster slurm: give the run behind two dashes: -- run --impl ...")
    measured = _run_options(words)
    shards = _shards(measured, options.shards)
    out = options.out or Path("results") / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-slurm"
    check_text(str(out.absolute()))
    name = options.partition or "pool"
    timeout = measured.timeout != measured.parser.get_default("timeout")
    return Asked(
        words=words[1:],
        resuming=["--timeout", f"{measured.timeout:g}"] if timeout else [],
        shards=shards,
        kinds=_kinds(options),
        options=_common(options),
        nodes=_nodes(options),
        shared=options.cpus is not None,
        machine_name=measured.machine_name or (None if options.on else name),
        at_once=options.at_once,
        out=out.absolute(),
        start=Path.cwd(),
    )


def _run_options(words: Sequence[str]) -> argparse.Namespace:
    """The options of the run that is asked for, below those of a suite."""
    from bench.cli import suite
    from bench.cli.main import parser

    given = parser().parse_args(words)
    given.words = list(words)
    if wrong := [f"--{name.replace('_', '-')}" for name in OWN if getattr(given, name)]:
        raise UsageError(
            f"cluster slurm: leave out {', '.join(wrong)} of the run; each shard has its own"
        )
    merged, request = suite.requested(given)
    merged.request = request
    if merged.budget:
        raise UsageError(
            "cluster slurm: the suite has a budget, by which shards would not fit together; take "
            "it out"
        )
    return merged


def _shards(measured: argparse.Namespace, count: int | None) -> int:
    """How many shards there are. Raises UsageError where the plan cannot be cut into so many.

    This node may have other processors than those that measure: nothing is asked of it.
    """
    from bench.parent.schedule import by_contest
    from bench.plan.shards import cut
    from bench.request.matrix import cells_of
    from bench.run.check import check_weights

    cells = cells_of(measured.request)
    check_weights(cells)
    shards = count or len(by_contest([(cell, 0) for cell in cells]))
    cut(measured.request, cells, shards)
    return shards


def _kinds(options: argparse.Namespace) -> dict[str, list[str]]:
    """The kinds of nodes, and the options of sbatch that choose them."""
    constraint = options.constraint
    if options.on is None:
        return {ONE_KIND: [f"--constraint={constraint}"] if constraint else []}
    each, *features = options.on
    if each != "each" or not features:
        raise UsageError("--on takes `each` and the features of Slurm: --on each h100 a100")
    for feature in features:
        if features.count(feature) > 1:
            raise UsageError(f"--on each {' '.join(features)}: give each feature only once")
        if not re.fullmatch(r"\w[\w.-]*", feature) or feature in TAKEN:
            raise UsageError(
                f"--on each {feature!r}: names a folder, so it must be of letters, digits, '_', "
                f"'.' and '-', and none of {', '.join(TAKEN)}; give others by --constraint"
            )
    if constraint and re.search(r"[|\[]", constraint):
        raise UsageError(
            f"--constraint {constraint}: with --on, give features that all nodes have, joined by &"
        )
    also = f"{constraint}&" if constraint else ""
    return {feature: [f"--constraint={also}{feature}"] for feature in features}


def _common(options: argparse.Namespace) -> list[str]:
    """Options of sbatch for every job."""
    for word in options.sbatch:
        if not word.startswith("-"):
            raise UsageError(
                f"--sbatch {word}: is no option; write it as one word: --sbatch=--reservation=bench"
            )
    named = ("partition", "account", "qos")
    return [
        *(f"--{name}={value}" for name in named if (value := getattr(options, name))),
        *options.sbatch,
    ]


def _nodes(options: argparse.Namespace) -> list[str]:
    """Options of sbatch for the jobs that measure."""
    # a node that nobody shares gives no memory by itself beyond what one CPU has
    found = [f"--cpus-per-task={options.cpus}"] if options.cpus else ["--exclusive", "--mem=0"]
    if options.gpus:
        found.append(f"--gres=gpu:{options.gpus}")
    if options.time:
        found.append(f"--time={options.time}")
    return found
