"""`run --engine ray`: the shards of a run as tasks of a Ray cluster, each on a node of its own.

Ray finds the nodes, starts the tasks there and brings back what they have measured. Which node
measures what is decided here: a task takes all processors and GPUs of one node, since contenders
that share a node with others measure these too.
"""

import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.cluster import node
from bench.cluster.campaign import Campaign, keep, missing, part_of
from bench.cluster.lost import lost
from bench.errors import UsageError
from bench.words import plural

Say = Callable[[str], None]
Key = tuple[str, int]  # a shard: its kind of node, and its number
INSTALL = "pip install 'resnet-bench[ray]'"
CONNECT_S = 5.0  # that an address may take to answer
FACTS_S = 300.0  # that a node may take to say what it is: Ray starts a process there
LOOK_S = 2.0  # between two looks at which nodes there are
TRIES = 3  # of a shard, whose node may be lost each time


@dataclass(frozen=True)
class Node:
    """A node that can measure."""

    id: str
    name: str  # unlike all others
    resources: dict[str, float]

    @property
    def whole(self) -> dict[str, Any]:
        """The options of a task that takes all of it."""
        return {
            "num_cpus": self.resources.get("CPU", 0),
            "num_gpus": self.resources.get("GPU", 0),
            **_only_there(self.id),
        }


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Be a driver of the cluster at an address; None: of the one that runs on this machine.

    Raises UsageError where Ray is not installed, or nobody answers.
    """
    try:
        import ray
    except ImportError:
        raise UsageError(f"--engine ray needs Ray: {INSTALL}") from None
    _check_answers(address)
    try:
        ray.init(address=address or "auto", logging_level="CRITICAL", log_to_driver=False)
    except Exception as error:  # of many kinds, from several of its parts
        told = " ".join(str(error).split())
        at = f"--address {address}" if address else "--engine ray without --address"
        raise UsageError(f"{at}: no cluster to connect to ({told[:200]})") from None
    try:
        yield
    finally:
        ray.shutdown()


def _check_answers(address: str | None) -> None:
    """Raises UsageError where nobody listens: Ray itself would try for minutes."""
    if not address or address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
    except (OSError, ValueError, OverflowError) as error:
        raise UsageError(
            f"--address {address}: nobody answers ({error}); give HOST:PORT of a running cluster, "
            "as `ray start --head` shows it"
        ) from None


def eligible(campaign: Campaign) -> list[Node]:
    """The nodes that live and have what the run needs."""
    import ray

    alive = sorted((each for each in ray.nodes() if each["Alive"]), key=lambda n: n["NodeID"])
    hosts = Counter(each["NodeManagerHostname"] for each in alive)
    found = []
    for each in alive:
        host, resources = each["NodeManagerHostname"], each["Resources"]
        name = host if hosts[host] == 1 else f"{host}-{each['NodeID'][:8]}"
        wanted = campaign.resource
        if resources.get("CPU", 0) < campaign.cpus or (campaign.gpus and not resources.get("GPU")):
            continue
        if wanted and not {wanted, f"accelerator_type:{wanted}"} & resources.keys():
            continue
        found.append(Node(each["NodeID"], name, resources))
    return found


def described(nodes: Sequence[Node]) -> list[node.Facts]:
    """What each node is. Raises UsageError where one does not say, or has other versions."""
    import ray

    ask = ray.remote(node.facts)
    asked = [ask.options(num_cpus=0, max_retries=0, **_only_there(n.id)).remote() for n in nodes]
    found: list[node.Facts] = []
    for each, answer in zip(nodes, asked, strict=True):
        try:
            found.append(ray.get(answer, timeout=FACTS_S))
        except ray.exceptions.RayError as error:
            told = ([line for line in str(error).splitlines() if line.strip()] or ["no answer"])[-1]
            raise UsageError(
                f"node {each.name} cannot measure ({told.strip()[:200]}): install resnet-bench and "
                "its frameworks where its Ray is, the same as here"
            ) from None
    if (here := node.code()) != found[0].code:
        there = f"{found[0].code} on node {nodes[0].name}"
        raise UsageError(f"resnet-bench is {here} here, and {there}; install the same")
    for each, facts in zip(nodes[1:], found[1:], strict=True):
        first, other = (
            {"resnet-bench": f.code, "Python": f.python, **f.packages} for f in (found[0], facts)
        )
        if unlike := [
            f"{name} {first.get(name, 'is missing')} on {nodes[0].name}, "
            f"{other.get(name, 'is missing')} on {each.name}"
            for name in dict.fromkeys((*first, *other))
            if first.get(name) != other.get(name)
        ]:
            more = f" and {plural(len(unlike) - 3, 'other')}" if len(unlike) > 3 else ""
            raise UsageError(f"nodes differ: {'; '.join(unlike[:3])}{more}; install the same")
    return found


def measure(path: Path, campaign: Campaign, say: Say) -> bool:
    """Measure the shards that are missing in the folder; whether none is then.

    A shard whose node is lost goes to another of its kind. Where none is left, or TRIES were in
    vain, its rows say so. Raises UsageError where a node refuses the run.
    """
    queue = _Queue(campaign, list(missing(path, campaign)))
    total, began_s = len(queue.waiting), time.monotonic()
    while queue.waiting or queue.running:
        for shard, at in queue.start(eligible(campaign)):
            say(f"{_named(campaign, shard)}: on {at.name}")
        for answer in _answers(queue.running):
            shard, at = queue.running.pop(answer)
            why = _received(answer, part_of(path, *shard), at)
            if why is None:
                left = len(queue.waiting) + len(queue.running)
                say(f"{_named(campaign, shard)}: measured, {left} of {total} left")
            elif queue.again(shard, why):
                say(f"{_named(campaign, shard)}: {why}; it is measured again")
    for shard, reason in queue.given_up.items():
        say(f"{_named(campaign, shard)}: {reason}")
        lost(path, campaign, *shard, reason)
    took_s = time.monotonic() - began_s
    say(f"{total - len(queue.given_up)} of {plural(total, 'shard')} measured in {took_s:.0f} s")
    return not queue.given_up


class _Queue:
    """The shards that wait for a node, those that one measures, and those that none can."""

    def __init__(self, campaign: Campaign, shards: list[Key]) -> None:
        import ray

        self.campaign = campaign
        self.waiting = shards
        self.running: dict[Any, tuple[Key, Node]] = {}  # by Ray's promise of an answer
        self.given_up: dict[Key, str] = {}  # and why
        self.tries: Counter[Key] = Counter()
        self.task = ray.remote(node.measure)

    def start(self, nodes: Sequence[Node]) -> Iterator[tuple[Key, Node]]:
        """Give each node that is free a shard, and give up those that none of them can measure."""
        busy = {at.id for _, at in self.running.values()}
        for at in nodes:
            own = next((shard for shard in self.waiting if self._fits(shard, at)), None)
            if own and at.id not in busy:
                self.waiting.remove(own)
                self.tries[own] += 1
                promise = self.task.options(max_retries=0, **at.whole).remote(self._asked(own))
                self.running[promise] = own, at
                yield own, at
        for shard in tuple(self.waiting):
            if not any(self._fits(shard, at) for at in nodes):
                self.waiting.remove(shard)
                self.given_up[shard] = "no node that could measure it was left"

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
    """Those tasks that have ended, after a while at most."""
    import ray

    return list(ray.wait(list(running), timeout=LOOK_S)[0]) if running else []


def _received(answer: Any, part: Path, at: Node) -> str | None:
    """Keep what a task has measured; returns why there is nothing, None where there is."""
    import ray

    try:
        measured: node.Measured = ray.get(answer)
    except ray.exceptions.RayError as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        return f"node {at.name} was lost ({type(error).__name__}: {first[:120]})"
    if measured.code == 2:
        raise UsageError(f"node {at.name} refuses: {measured.said.removeprefix('resnet-bench: ')}")
    if measured.code not in (0, 1):  # 1: a cell failed, and its row says why
        return f"node {at.name} ended with {measured.code} ({measured.said[:200]})"
    keep(part, measured.files)
    return None


def _only_there(node_id: str) -> dict[str, Any]:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node_id, soft=False)}
