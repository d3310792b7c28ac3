"""What a person sees while the nodes of a cluster measure: each node, and how far the whole is."""

import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from bench.cli.plan import minutes
from bench.cli.terminal import Terminal
from bench.reports.formats.plain_table import plain_table
from bench.words import plural

if TYPE_CHECKING:
    from bench.cluster.ray import Standing
    from bench.cluster.status import PlanStatus

SHOWN = 20  # nodes: those with most records left
OFTEN_S = 60.0  # between two lines where there is no terminal


@contextmanager
def shown(console: Terminal) -> "Iterator[Callable[[Standing], None]]":
    """What is called with how far all nodes are: a table on a terminal, a line now and then
    elsewhere.
    """
    if console.is_screen:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            yield lambda standing: live.update(Group(*_table(standing)), refresh=True)
        return
    told_s, last = time.monotonic(), ""

    def tell(standing: "Standing") -> None:
        nonlocal told_s, last
        if time.monotonic() - told_s >= OFTEN_S and (line := summary(standing)) != last:
            told_s, last = time.monotonic(), line
            console.print(line, soft_wrap=True)

    yield tell


def show(plan: "PlanStatus", console: Terminal) -> None:
    """How far the shards of a plan are: those that are not measured, and the whole."""
    left = [each for each in plan.shards if each.state != "measured"]
    left.sort(key=lambda each: (each.state, -each.silent_s))
    table = plain_table()
    names = ("shard", "node", "state", "records", "failed", "last change")
    for name in names:
        side: Literal["left", "right"] = "left" if name in names[:3] else "right"
        table.add_column(name, justify=side, no_wrap=True)
    for each in left[:SHOWN]:
        of = "" if each.of is None else f" of {each.of}"
        node = Text(each.folder.run.machine.machine)
        since = f"{minutes(each.silent_s)} ago"
        table.add_row(
            Text(each.name), node, each.state, f"{each.records}{of}", str(each.failed), since
        )
    if left:
        console.print(table)
    if len(left) > SHOWN:
        console.print(f"and {plural(len(left) - SHOWN, 'more shard')}")
    console.print(plan_summary(plan), soft_wrap=True)
    if plan.unlike:
        console.print(f"warning: versions differ: {plan.unlike}", soft_wrap=True)
    for each in [each for each in left if each.state == "stopped"][:1]:
        path = shlex.quote(str(each.folder.path))
        console.print(
            f"go on with one that stopped: resnet-bench run --resume {path}", soft_wrap=True
        )


def plan_summary(plan: "PlanStatus") -> str:
    """`plan 3f9a1c20: 1 of 3 shards measured, 2 not begun; 12 of 40 records, 1 failed`."""
    states = Counter(each.state for each in plan.shards)
    name = f"plan {plan.plan[:8]}" if plan.plan else "whole runs"
    what = plural(len(plan.shards) + plan.absent, "shard" if plan.plan else "run")
    parts = [f"{states['measured']} of {what} measured"]
    parts += [f"{states[state]} {state}" for state in ("measuring", "stopped") if states[state]]
    parts += [f"{plan.absent} not begun"] * bool(plan.absent)
    records, failed = (sum(getattr(s, n) for s in plan.shards) for n in ("records", "failed"))
    of = "" if plan.records is None else f" of {plan.records:,}"
    told = f"{name}: {', '.join(parts)}; {records:,}{of} records"
    return told + f", {failed:,} failed" * bool(failed)


def summary(standing: "Standing") -> str:
    """`2 of 12 shards measured; 3 nodes measure 31 of 96 records; 7 shards wait`."""
    found = sum(node.records for node in standing.nodes)
    sizes = [node.of for node in standing.nodes]
    of = "" if None in sizes else f" of {sum(size or 0 for size in sizes)}"
    parts = [
        f"{standing.shards} of {plural(standing.of, 'shard')} measured",
        f"{plural(len(standing.nodes), 'node')} at {found}{of} records",
        f"{standing.waiting} waiting" * bool(standing.waiting),
        f"{standing.given_up} given up" * bool(standing.given_up),
    ]
    return "; ".join(filter(None, parts))


def _table(standing: "Standing") -> "Iterator[RenderableType]":
    table = plain_table()
    for name in ("node", "measures", "records"):
        table.add_column(name, justify="right" if name == "records" else "left", no_wrap=True)
    slowest = sorted(standing.nodes, key=lambda node: node.records - (node.of or 0))[:SHOWN]
    for node in slowest:
        of = "" if node.of is None else f" of {node.of}"
        table.add_row(Text(node.node), node.shard, f"{node.records}{of}")
    yield table
    if more := len(standing.nodes) - len(slowest):
        yield Text(f"and {plural(more, 'more node')}")
    yield Text(summary(standing))
