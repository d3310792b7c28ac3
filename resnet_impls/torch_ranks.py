"""How PyTorch's ranks are started, met and led. No network is here.

The process that calls is rank 0. It starts the others as its children, in its own process group
and session, with the variables that torchrun sets, and meets them as torchrun has them meet, at a
store. They follow its calls until it ends. `torch_nodes.py` starts those of other nodes there.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import cache
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.multiprocessing.spawn import ProcessException

from resnet_impls import torch_nodes
from resnet_impls.devices import DEVICES

# A process may be suspended for as long as others are measured; who waits for it waits on
PATIENCE = timedelta(days=1)
LOOK_S = 0.02  # how often rank 0 looks, while ranks start, whether they still live
LAST_WORDS_S = 5.0  # for a rank whose end was noticed to have ended


@dataclass(frozen=True)
class Group:
    """All that a rank has to know of the group to be one of it."""

    address: str  # of rank 0's node
    port: int  # of the store there
    world_size: int
    nodes: int  # each of which has as many ranks
    device: str
    threads: int  # of all ranks of a node

    @property
    def local(self) -> int:
        """How many ranks a node has."""
        return self.world_size // self.nodes


def join(group: Group, rank: int) -> None:
    """Become a rank of a group, by the variables that torchrun sets."""
    local_rank = rank % group.local
    os.environ |= {
        "MASTER_ADDR": group.address,
        "MASTER_PORT": str(group.port),
        "WORLD_SIZE": str(group.world_size),
        "LOCAL_WORLD_SIZE": str(group.local),
        "RANK": str(rank),
        "LOCAL_RANK": str(local_rank),
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # the store is there already
        "TORCHELASTIC_RESTART_COUNT": "0",
    }
    device, kind = group.device, DEVICES[group.device]
    backends = "cpu:gloo" if device == "cpu" else f"cpu:gloo,{kind.torch}:{kind.collectives}"
    dist.init_process_group(backends, timeout=PATIENCE)
    if device != "cpu":
        torch.accelerator.set_device_index(local_rank)
    torch.set_num_threads(max(1, group.threads // group.local))


def follow(index: int, group: Group, first: int) -> None:
    """A rank from 1 on, the `index`-th after `first`: do what rank 0 does, until that ends."""
    rank = first + index
    dist.TCPStore(group.address, group.port, is_master=False).set(f"started/{rank}", "")
    join(group, rank)
    replicas: list[Any] = []
    while True:
        call: list[Any] = [None]
        try:
            dist.broadcast_object_list(call, src=0, device=torch.device("cpu"))
        except RuntimeError:  # rank 0 has ended
            return
        number, method, arguments, options = call[0]
        if method == "build":
            kind, *arguments = arguments
            replicas.append(kind(*arguments, **options))
        else:
            getattr(replicas[number], method)(*arguments)


class Ranks:
    """The group as rank 0 leads it."""

    def __init__(self, world_size: int, device: str) -> None:
        """Start the other ranks, and meet them."""
        nodes = torch_nodes.count() if world_size > 1 else 1
        address = torch_nodes.address() if nodes > 1 else "127.0.0.1"
        self.store = dist.TCPStore(address, 0, is_master=True, wait_for_workers=False)
        threads = torch.get_num_threads()
        self.group = Group(address, self.store.port, world_size, nodes, device, threads)
        if nodes > 1:
            torch_nodes.tell(asdict(self.group))
        self.others = mp.start_processes(
            *(follow, (self.group, 1), self.group.local - 1),
            join=False,
            daemon=True,
            start_method="spawn",
        )
        self.replicas: list[Any] = []
        with self.explained():
            for rank in range(1, world_size):
                while not self.store.check([f"started/{rank}"]):
                    self.others.join(0)
                    time.sleep(LOOK_S)
            join(self.group, 0)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Where another rank has ended, raise what it ended by: here, a connection was lost."""
        try:
            try:
                yield
            except RuntimeError:
                self.others.join(LAST_WORDS_S)
                raise
        except ProcessException as end:
            rank, last = end.error_index + 1, str(end).strip().splitlines()[-1]
            raise RuntimeError(f"rank {rank} has ended: {last}") from end

    def tell(self, number: int, method: str, *arguments: Any, **options: Any) -> None:
        """Have the other ranks do something with a replica of theirs."""
        call = [(number, method, arguments, options)]
        dist.broadcast_object_list(call, src=0, device=torch.device("cpu"))

    def build(self, kind: Callable[..., Any], *arguments: Any, **options: Any) -> int:
        """A replica for each rank; returns its number."""
        with self.explained():
            self.tell(len(self.replicas), "build", kind, *arguments, **options)
            self.replicas.append(kind(*arguments, **options))
        return len(self.replicas) - 1

    def call(self, number: int, method: str, *arguments: Any) -> Any:
        """Have all ranks do something with a replica; returns what it returns here."""
        with self.explained():
            self.tell(number, method, *arguments)
            return getattr(self.replicas[number], method)(*arguments)


ranks = cache(Ranks)  # the group of a process, whatever it builds
