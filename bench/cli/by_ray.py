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
from typing import TYPE_CHECKING, Any

from bench.cli import nodes_display
from bench.cli.terminal import console
from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.cells import Cell
    from bench.cluster.campaign import Campaign
    from bench.cluster.node import Facts
    from bench.cluster.ray_nodes import Node
    from bench.request.request import Request

OWN = ("plan", "budget", "shard", "save_config", "json")  # of one machine
EACH_NODE = "each-node"
POOL = "nodes"  # all nodes, where they share the plan


def run(options: argparse.Namespace) -> int:
    """Measure on the nodes, and write one report of all; exit codes as `run`'s."""
    from bench.cluster import campaign, ray, ray_nodes

    if options.resume:
        path = options.resume
        asked = _resumed(options)
    else:
        path = options.out or Path("results") / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-ray"
        asked, cells = _asked(options, path)
    try:
        with ray_nodes.connected(asked.address):
            nodes = _nodes(asked)
            facts = ray_nodes.described(nodes)
            if not options.resume:
                asked = _placed(asked, options, nodes, facts, cells)
                campaign.create(path, asked)
            with nodes_display.shown(console()) as show:
                complete = ray.measure(path, asked, _say, show)
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
    from bench.cluster.ray_nodes import eligible

    nodes = eligible(asked)
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

    _, request = suite.requested(options)
    contests = len(by_contest([(cell, 0) for cell in cells]))
    if asked.each_node:
        kinds = tuple(each.name for each in nodes)
        return replace(asked, kinds=kinds, **_cut(request, cells, contests))
    cores = sorted({each.cores for each in facts})
    if len(cores) > 1 and not _threads(options, request):
        raise UsageError(
            f"nodes have {', '.join(map(str, cores))} cores, by which each would choose other "
            "threads: give --threads, or --on each-node"
        )
    alike = len({each.chips for each in facts}) == 1
    named = replace(asked, machine_name=asked.machine_name or ("pool" if alike else None))
    units = len(by_contest([(cell, i) for cell in cells for i in range(request.replicates or 1)]))
    try:
        return replace(named, **_cut(request, cells, max(contests, min(len(nodes), units))))
    except UsageError:  # of contests that cannot be divided
        return replace(named, **_cut(request, cells, contests))


def _cut(request: "Request", cells: "Sequence[Cell]", shards: int) -> "dict[str, Any]":
    """So many shards, and how many records each will have at least."""
    from bench.plan.shards import cut

    parts, processes = cut(request, cells, shards), request.replicates or 1
    records = tuple(len(part.cells) * processes - len(part.elsewhere) for part in parts)
    return {"shards": shards, "records": records}


def _reported(path: Path, asked: "Campaign") -> int:
    """Put all that was measured into one report, in place of an earlier one, and show it."""
    from bench.api import load
    from bench.cli.fleet import is_much
    from bench.cli.main import main
    from bench.cluster.campaign import parts
    from bench.cluster.status import status
    from bench.records.folder import RunFolder
    from bench.reports.formats import terminal

    if not (there := parts(path, asked)):
        return 1
    merged = path / "merged"
    shutil.rmtree(merged, ignore_errors=True)
    with contextlib.redirect_stdout(io.StringIO()):  # all of the report
        code = main(["report", *map(str, there), "--out", str(merged)])
    folders = [RunFolder.open(part) for part in there]
    if not is_much(folders):
        for table in terminal.tables(load(there)):
            console().print(table)
    _say(f"report: {merged / 'report.md'}")
    failed = any(shard.failed for plan in status(folders) for shard in plan.shards)
    return code or int(failed)
