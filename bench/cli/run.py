"""`resnet-bench run`: a request measured, and shown as it goes."""

import argparse
import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.arguments import duration, shard, wait_argument
from bench.cli.ending import conclude
from bench.cli.request import request_arguments
from bench.cli.resuming import check_resumable, resumable
from bench.errors import UsageError
from bench.request.request import Request

if TYPE_CHECKING:
    from bench.parent.outcome import Task
    from bench.plan.estimate import Estimator
    from bench.records.folder import RunFolder
    from bench.run.going_on import OpenDisplay, Say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to measure, how much of it, and where the results go."""
    request_arguments(parser)
    add = parser.add_argument
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of the results (default: results/ and the time and the profile)",
    )
    add(
        "--resume",
        type=Path,
        metavar="DIR",
        help="go on with the run of this folder: measure what is missing",
    )
    add(
        "--machine-name",
        metavar="NAME",
        help="name of this machine in the records (default: the host's)",
    )
    add(
        "--plan",
        action="store_true",
        help="say what would be measured, how long it would take, and in how much memory; nothing "
        "runs and nothing is written",
    )
    add(
        "--budget",
        type=duration,
        metavar="T",
        help="end within this wall time, such as 10m: as many contenders, steps and processes as "
        "fit, certificates included; it says what it leaves out",
    )
    add(
        "--shard",
        type=shard,
        metavar="I/N",
        help="measure part I of N of the plan, by whole contests; other machines measure the "
        "others, and report puts all together",
    )
    add(
        "--engine",
        choices=["ray"],
        help="have the nodes of a Ray cluster measure, each contest on one of them",
    )
    add(
        "--address",
        metavar="HOST:PORT",
        help="with --engine ray: where the cluster is (default: the one that this machine is in)",
    )
    add(
        "--on",
        metavar="NODES",
        help="with --engine ray: each-node measures the whole plan on each node; else the resource "
        "or type of accelerator that nodes must have (default: any node)",
    )
    add(
        "--save-config",
        type=Path,
        metavar="FILE",
        help="write these options to a suite, for --config; nothing runs",
    )
    add("--json", action="store_true", help="with --plan: print it as JSON, for programs")
    wait_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Measure, write the reports and show the rankings.

    Returns 1 where a cell failed, or was asked for by its name and is not available; 130 after an
    interrupt.
    """
    with ExitStack() as until:  # reports take processors too: the next run waits for them
        return _run(options, until)


def _run(options: argparse.Namespace, until: ExitStack) -> int:
    from bench.cli import suite
    from bench.cluster import campaign
    from bench.request.installed import hint
    from bench.run.run import begin, resume

    if options.json and not options.plan:
        raise UsageError("--json is the form of a plan: add --plan, or leave --json out")
    if options.engine or options.address or options.on or campaign.is_of(options.resume):
        from bench.cli import by_ray

        return by_ray.run(options)
    if options.resume and not options.plan:
        check_resumable(options)
        say, display = watched()
        with resumable(options.resume):
            ended = resume(
                options.resume,
                timeout_s=options.timeout,
                say=say,
                display=display,
                wait=options.wait,
                until=until,
            )
    else:
        if options.save_config:
            suite.save(options.save_config, options)
            return 0
        options, request = suite.requested(options)
        if options.plan:
            return show_plan(options, request)
        check_budget(options, request)
        say, display = watched()
        if not all(each.impl_named for each in request.matrices) and (missing := hint()):
            say(missing)
        name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{options.profile}"
        if options.shard:  # jobs of an array begin in the same second
            name += "-{}-of-{}".format(*options.shard)
        path = options.out or Path("results") / name
        with resumable(path):
            ended = begin(
                request,
                path,
                command=shlex.join(["resnet-bench", *options.words]),
                timeout_s=options.timeout,
                say=say,
                display=display,
                machine_name=options.machine_name,
                budget_s=options.budget,
                shard=options.shard,
                wait=options.wait,
                until=until,
            )
    return conclude(ended)


def watched() -> "tuple[Say, OpenDisplay]":
    """How a run says what it does, on the terminal."""
    from bench.cli.display import Display
    from bench.cli.terminal import console

    def say(line: str) -> None:
        console().print(line, soft_wrap=True)

    def display(tasks: "Sequence[Task]", folder: "RunFolder", known: "Estimator") -> Display:
        return Display(tasks, console(), folder, known)

    return say, display


def check_budget(options: argparse.Namespace, request: Request) -> None:
    """Raises UsageError for options that do not go with a budget."""
    if options.budget is None:
        return
    given = ("steps", "replicates", "precision_target")
    workloads = {name for each in request.matrices for name in each.workload or ()}
    if fixed := [f"--{name.replace('_', '-')}" for name in given if getattr(options, name)]:
        raise UsageError(f"--budget decides how much is measured: leave out {', '.join(fixed)}")
    if options.shard:
        raise UsageError(
            "--budget measures what fits on this machine, so shards would not fit together: leave "
            "out --shard, or --budget"
        )
    if "train-to" in workloads:
        raise UsageError("--budget: nobody knows how long train-to takes; leave one of them out")
    if any("max" in (each.batch_size or ()) for each in request.matrices):
        raise UsageError("--budget: the search for --batch-size max has no end that is known")


def show_plan(options: argparse.Namespace, request: Request) -> int:
    """Print what a run with these options would do. Raises UsageError where that would."""
    from bench.cli.plan import show
    from bench.plan.parts import check_data
    from bench.plan.plan import plan
    from bench.plan.shards import cut
    from bench.plan.sources import able
    from bench.records.folder import check_free
    from bench.run.budgeted import within
    from bench.run.check import cells_here, check_weights

    if options.resume:
        raise UsageError("--plan is for a new run: leave out --resume, or --plan")
    check_budget(options, request)
    cells = cells_here(request)
    number, of = options.shard or (1, 1)
    own = cut(request, cells, of)[number - 1] if options.shard else None
    check_weights(cells)
    if options.out:
        check_free(options.out)
    check_data(able(cells), request.data_dir)
    told: list[str] = []
    if options.budget:
        request, cells, _ = within(request, cells, options.budget, told.append)
        told.append("the time that is left then goes to more processes, in whole rounds")
    found = plan(request, cells, own=own)
    show(replace(found, remarks=(*found.remarks, *told)), as_json=options.json)
    return 0
