"""`run --engine ray`: the shards of a run as tasks of a Ray cluster, each on a node of its own.

Ray finds the nodes, starts the tasks there and brings back what they have measured. Which node
measures what is decided here: a task takes all processors and GPUs of one node, since contenders
that share a node with others measure these too.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.cluster import node
from bench.cluster.campaign import Campaign, keep, missing, part_of
from bench.cluster.lost import lost
from bench.cluster.ray_nodes import Node, eligible
from bench.errors import UsageError
from bench.words import plural

Say = Callable[[str], None]
Show = Callable[["Standing"], None]
Key = tuple[str, int]  # a shard: its kind of node, and its number
LOOK_S = 2.0  # between two looks at which nodes there are
TRIES = 3  # of a shard, whose node may be lost each time


def measure(path: Path, campaign: Campaign, say: Say, show: Show) -> bool:
    """Measure the shards that are missing in the folder; whether none is then.

    A shard whose node is lost goes to another of its kind. Where none is left, or TRIES were in
    vain, its rows say so. `show` is told how far all nodes are whenever that changes. Raises
    UsageError where a node refuses the run.
    """
    queue = _Queue(campaign, list(missing(path, campaign)))
    total, began_s = len(queue.waiting), time.monotonic()
    while queue.waiting or queue.running:
        for shard, at in queue.start(eligible(campaign)) if queue.waiting else ():
            say(f"{_named(campaign, shard)}: on {at.name}")
        for promise in _answers(queue.running):
            running = queue.running[promise]
            shard, at = running.shard, running.at
            answer = _received(promise, part_of(path, *shard), at)
            if isinstance(answer, int):
                running.records = answer
                continue
            del queue.running[promise]
            if answer is None:
                left = len(queue.waiting) + len(queue.running)
                say(f"{_named(campaign, shard)}: measured, {left} of {total} left")
            elif queue.again(shard, answer):
                say(f"{_named(campaign, shard)}: {answer}; it is measured again")
        show(queue.standing(total))
    for shard, reason in queue.given_up.items():
        say(f"{_named(campaign, shard)}: {reason}")
        lost(path, campaign, *shard, reason)
    took_s = time.monotonic() - began_s
    say(f"{total - len(queue.given_up)} of {plural(total, 'shard')} measured in {took_s:.0f} s")
    return not queue.given_up


@dataclass
class Running:
    """A shard that a node measures."""

    shard: Key
    at: Node
    records: int = 0  # by now


@dataclass(frozen=True)
class NodeStanding:
    """What a node measures, and how far it is."""

    node: str
    shard: str
    records: int
    of: int | None  # None: not known


@dataclass(frozen=True)
class Standing:
    """How far all nodes are with a run."""

    nodes: Sequence[NodeStanding]
    shards: int  # that are measured
    of: int
    waiting: int  # for a node
    given_up: int


class _Queue:
    """The shards that wait for a node, those that one measures, and those that none can."""

    def __init__(self, campaign: Campaign, shards: list[Key]) -> None:
        import ray

        self.campaign = campaign
        self.waiting = shards
        self.running: dict[Any, Running] = {}  # by Ray's promise of answers
        self.given_up: dict[Key, str] = {}  # and why
        self.tries: Counter[Key] = Counter()
        self.task = ray.remote(node.measure)

    def start(self, nodes: Sequence[Node]) -> Iterator[tuple[Key, Node]]:
        """Give each node that is free a shard, and give up those that none of them can measure."""
        busy = {each.at.id for each in self.running.values()}
        for at in nodes:
            own = next((shard for shard in self.waiting if self._fits(shard, at)), None)
            if own and at.id not in busy:
                self.waiting.remove(own)
                self.tries[own] += 1
                promise = self.task.options(max_retries=0, **at.whole).remote(self._asked(own))
                self.running[promise] = Running(own, at)
                yield own, at
        for shard in tuple(self.waiting):
            if not any(self._fits(shard, at) for at in nodes):
                self.waiting.remove(shard)
                self.given_up[shard] = "no node that could measure it was left"

    def standing(self, total: int) -> Standing:
        """How far all nodes are, of so many shards."""
        sizes = self.campaign.records
        running = sorted(self.running.values(), key=lambda each: each.at.name)
        over = total - len(self.waiting) - len(running) - len(self.given_up)
        nodes = [
            NodeStanding(
                node=each.at.name,
                shard=_named(self.campaign, each.shard),
                records=each.records,
                of=sizes[each.shard[1] - 1] if sizes else None,
            )
            for each in running
        ]
        return Standing(nodes, over, total, len(self.waiting), len(self.given_up))

    def again(self, shard: Key, why: str) -> bool:
        """Whether a shard that failed is tried once more."""
        if self.tries[shard] == TRIES:
            self.given_up[shard] = f"{why}, as in {TRIES} tries"
            return False
        self.waiting.append(shard)
        return True

    def _fits(self, shard: Key, at: Node) -> bool:
        return not self.campaign.each_node or shard[0] == at.name

    def _asked(self, shard: Key) -> node.Shard:
        kind, number = shard
        return node.Shard(
            suite=self.campaign.suite,
            name=f"{number}/{self.campaign.shards}",
            machine_name=kind if self.campaign.each_node else self.campaign.machine_name,
            start=self.campaign.start,
        )


def _named(campaign: Campaign, shard: Key) -> str:
    of = f" of {shard[0]}" if campaign.each_node else ""
    return f"shard {shard[1]}/{campaign.shards}{of}"


def _answers(running: Iterable[Any]) -> list[Any]:
    """Those tasks that have an answer, after a while at most."""
    import ray

    if not (every := list(running)):
        return []
    ray.wait(every, timeout=LOOK_S)
    return list(ray.wait(every, num_returns=len(every), timeout=0)[0])


def _received(promise: Any, part: Path, at: Node) -> int | str | None:
    """The next answer of a task: how many records there are by now; None once what it has measured
    is kept, or why there is nothing.
    """
    import ray

    try:
        answer: int | node.Measured = ray.get(next(promise))
    except ray.exceptions.RayError as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        return f"node {at.name} was lost ({type(error).__name__}: {first[:120]})"
    if isinstance(answer, int):
        return answer
    if answer.code == 2:
        raise UsageError(f"node {at.name} refuses: {answer.said.removeprefix('resnet-bench: ')}")
    if answer.code not in (0, 1):  # 1: a cell failed, and its row says why
        return f"node {at.name} ended with {answer.code} ({answer.said[:200]})"
    keep(part, answer.files)
    return None
