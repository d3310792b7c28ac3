"""`resnet-bench run --engine ray`: the nodes of a Ray cluster measure."""

import argparse
import contextlib
import io
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.terminal import console
from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.cells import Cell
    from bench.cluster.campaign import Campaign
    from bench.cluster.node import Facts
    from bench.cluster.ray import Node
    from bench.request.request import Request

OWN = ("plan", "budget", "shard", "save_config", "json")  # of one machine
EACH_NODE = "each-node"
POOL = "nodes"  # all nodes, where they share the plan


def run(options: argparse.Namespace) -> int:
    """Measure on the nodes, and write one report of all; exit codes as `run`'s."""
    from bench.cluster import campaign, ray

    if options.resume:
        path = options.resume
        asked = _resumed(options)
    else:
        path = options.out or Path("results") / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-ray"
        asked, cells = _asked(options, path)
    try:
        with ray.connected(asked.address):
            nodes = _nodes(asked)
            facts = ray.described(nodes)
            if not options.resume:
                asked = _placed(asked, options, nodes, facts, cells)
                campaign.create(path, asked)
            complete = ray.measure(path, asked, _say)
    except KeyboardInterrupt:
        if not campaign.is_of(path):
            raise
        remedy = f"resnet-bench run --resume {shlex.quote(str(path))}"
        print(f"interrupted; continue with: {remedy}", file=sys.stderr)
        return 130
    code = _reported(path, asked)
    return code if complete else code or 1


def _say(line: str) -> None:
    console().print(line, soft_wrap=True)


def _resumed(options: argparse.Namespace) -> "Campaign":
    """What an earlier run was to measure, at its address or another."""
    from bench.cli.resuming import check_resumable
    from bench.cluster import campaign

    check_resumable(options, ("engine", "address"))
    if not campaign.is_of(options.resume):
        raise UsageError(
            f"--resume {options.resume}: no run of --engine ray (there is no {campaign.NAME} in it)"
        )
    earlier = campaign.read(options.resume)
    return replace(earlier, address=options.address or earlier.address)


def _asked(options: argparse.Namespace, path: Path) -> "tuple[Campaign, list[Cell]]":
    """What the options ask for, as far as that is known without the nodes, and the cells."""
    from bench.cli import suite
    from bench.cluster.campaign import Campaign
    from bench.records.folder import check_free
    from bench.request.matrix import cells_of
    from bench.run.check import check_weights

    if not options.engine:
        raise UsageError("--address and --on are of --engine ray: add it, or leave them out")
    if wrong := [f"--{name.replace('_', '-')}" for name in OWN if getattr(options, name)]:
        raise UsageError(f"--engine ray: leave out {', '.join(wrong)}, which is of one machine")
    if options.on == EACH_NODE and options.machine_name:
        raise UsageError("--on each-node: leave out --machine-name, since each node has its own")
    text = suite.text_of(options)
    merged, request = suite.requested(options)
    if merged.budget:
        raise UsageError("--engine ray: the suite has a budget, which is of one machine")
    cells = cells_of(request)
    check_weights(cells)
    check_free(path)
    asked = Campaign(
        suite=text,
        command=shlex.join(["resnet-bench", *options.words]),
        shards=1,
        kinds=(POOL,),
        each_node=options.on == EACH_NODE,
        resource=None if options.on == EACH_NODE else options.on,
        cpus=max(_threads(options, request), default=1),
        gpus=any(device != "cpu" for device in request.devices),
        machine_name=merged.machine_name,
        start=str(Path.cwd()),
        address=options.address,
    )
    return asked, cells


def _threads(options: argparse.Namespace, request: "Request") -> list[int]:
    """The threads that were asked for; none where each machine has as many as it has cores."""
    from bench.cli import suite

    given, _ = suite.matrices_of(options)
    if any(each.threads is None for each in given):
        return []
    return [n for each in request.matrices for n in each.threads or ()]


def _nodes(asked: "Campaign") -> "list[Node]":
    """The nodes that can measure. Raises UsageError where there is none."""
    from bench.cluster import ray

    nodes = ray.eligible(asked)
    if not nodes:
        needs = [f"{asked.cpus} CPU", *["1 GPU"] * asked.gpus]
        needs += [asked.resource] if asked.resource else []
        raise UsageError(
            f"--engine ray: no node of the cluster has {', '.join(needs)}; `ray status` shows what "
            "nodes have"
        )
    return nodes


def _placed(
    asked: "Campaign",
    options: argparse.Namespace,
    nodes: "Sequence[Node]",
    facts: "Sequence[Facts]",
    cells: "Sequence[Cell]",
) -> "Campaign":
    """The shards, and who measures them. Raises UsageError for nodes that would plan otherwise."""
    from bench.cli import suite
    from bench.parent.schedule import by_contest
    from bench.plan.shards import cut

    _, request = suite.requested(options)
    contests = len(by_contest([(cell, 0) for cell in cells]))
    if asked.each_node:
        return replace(asked, shards=contests, kinds=tuple(each.name for each in nodes))
    cores = sorted({each.cores for each in facts})
    if len(cores) > 1 and not _threads(options, request):
        raise UsageError(
            f"nodes have {', '.join(map(str, cores))} cores, by which each would choose other "
            "threads: give --threads, or --on each-node"
        )
    units = len(by_contest([(cell, i) for cell in cells for i in range(request.replicates or 1)]))
    shards = max(contests, min(len(nodes), units))
    try:
        cut(request, cells, shards)
    except UsageError:  # of contests that cannot be divided
        shards = contests
    alike = len({each.chips for each in facts}) == 1
    name = asked.machine_name or ("pool" if alike else None)
    return replace(asked, shards=shards, machine_name=name)


def _reported(path: Path, asked: "Campaign") -> int:
    """Put all that was measured into one report, in place of an earlier one, and show it."""
    from bench.api import load
    from bench.cli.main import main
    from bench.cluster.campaign import parts
    from bench.records import EXPECTED
    from bench.reports.formats import terminal

    if not (there := parts(path, asked)):
        return 1
    merged = path / "merged"
    shutil.rmtree(merged, ignore_errors=True)
    with contextlib.redirect_stdout(io.StringIO()):  # all of the report
        code = main(["report", *map(str, there), "--out", str(merged)])
    report = load(there)
    for table in terminal.tables(report):
        console().print(table)
    _say(f"report: {merged / 'report.md'}")
    failed = any(record.status not in ("ok", *EXPECTED) for record in report.records)
    return code or int(failed)
