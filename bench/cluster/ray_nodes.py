"""A Ray cluster: how to be its driver, which nodes it has, and what they are."""

import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bench.cluster import node
from bench.cluster.campaign import Campaign
from bench.errors import UsageError
from bench.records.versions import unlike
from bench.run.here import code_version

INSTALL = "pip install 'resnet-bench[ray]'"
CONNECT_S = 5.0  # that an address may take to answer
FACTS_S = 300.0  # that a node may take to say what it is: Ray starts a process there


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
    every = {each.name: facts.versions for each, facts in zip(nodes, found, strict=True)}
    if other := unlike(every, "on"):
        raise UsageError(f"nodes differ: {other}; install the same")
    if (here := code_version()) != (there := found[0].versions["resnet-bench"]):
        raise UsageError(
            f"resnet-bench is {here} here, and {there} on node {nodes[0].name}; install the same"
        )
    return found


def _only_there(node_id: str) -> dict[str, Any]:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node_id, soft=False)}
