"""Ranks on several nodes, each of which torchrun has run this module with the same command:

    torchrun --nnodes 2 --node-rank 0 --master-addr HOST --master-port 29500 \\
        -m resnet_impls.torch_nodes resnet-bench run --workload train-dp --world-size 1 2

The first node runs the command. Each process there that becomes rank 0 of a group tells the other
nodes so, by torchrun's own store, and they start their ranks of that group.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from itertools import count as numbers
from typing import Any

import torch.distributed as dist
import torch.multiprocessing as mp

PATIENCE = timedelta(days=30)  # a run may take as long
NUMBER, GROUPS = "resnet_impls/groups", "resnet_impls/group"


def count() -> int:
    """How many nodes there are: what torchrun says, else this one."""
    return int(os.environ.get("GROUP_WORLD_SIZE", "1"))


def address() -> str:
    """The name by which other nodes reach the first one."""
    return os.environ["MASTER_ADDR"]


def store() -> dist.TCPStore:
    """The store of torchrun, which lives as long as the job."""
    port = int(os.environ["MASTER_PORT"])
    return dist.TCPStore(address(), port, is_master=False, timeout=PATIENCE)


def tell(group: Mapping[str, Any] | None) -> None:
    """Have the other nodes start their ranks of a group; None: there are no more."""
    to = store()
    to.set(f"{GROUPS}/{to.add(NUMBER, 1)}", json.dumps(group))


def serve(node: int) -> None:
    """Start the ranks of this node for each group that is told of, until there are no more."""
    from resnet_impls.torch_ranks import Group, follow

    listening = store()
    for number in numbers(1):
        told = listening.get(f"{GROUPS}/{number}")  # waits until it is there
        fields = json.loads(told)
        if fields is None:
            return
        group = Group(**fields)
        mp.start_processes(
            *(follow, (group, node * group.local), group.local),
            join=False,
            daemon=True,
            start_method="spawn",
        )


def main() -> int:
    node = int(os.environ["GROUP_RANK"])
    if node:
        serve(node)
        return 0
    code = subprocess.run(sys.argv[1:], check=False).returncode
    tell(None)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
