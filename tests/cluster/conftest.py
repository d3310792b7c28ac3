"""A real Slurm on this machine: its controller and two nodes, which end with the tests."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from clusters import Slurm

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
# cred_expire is also how long a requeued job waits
CONFIGURATION = """\
ClusterName=bench
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
AuthInfo=socket={folder}/munge,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/controller.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,bf_interval=1
KillWait=2
MinJobAge=10
ReturnToService=2
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs={cpus} Feature=red
NodeName=node2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs={cpus} Feature=blue
PartitionName=main Nodes=node1,node2 Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """Start Slurm, or skip where it is not installed or may not start."""
    if missing := [name for name in PROGRAMS if not shutil.which(name)]:
        pytest.skip(f"Slurm is not installed: no {', '.join(missing)} (slurm-wlm, munge of Debian)")
    if os.getuid() != 0:
        pytest.skip("only root may start Slurm's daemons")
    with ExitStack() as ending:
        # no pytest folder: the name of a socket is 107 bytes at most
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="slurm-")))
        for name in ("state", "node1", "node2"):
            (folder / name).mkdir()
        configuration = folder / "slurm.conf"
        host, ports = socket.gethostname(), _free_ports(3)
        configuration.write_text(
            CONFIGURATION.format(host=host, ports=ports, folder=folder, cpus=os.cpu_count())
        )
        variables = os.environ | {"SLURM_CONF": str(configuration)}
        cluster = Slurm(variables)
        _start(ending, folder, _munge(folder), variables)
        _eventually((folder / "munge").exists)
        _start(ending, folder, ["slurmctld", "-D", "-f", str(configuration)], variables)
        for node in ("node1", "node2"):
            command = ["slurmd", "-D", "-N", node, "-f", str(configuration)]
            _start(ending, folder, command, variables)
        if not _eventually(lambda: _idle(cluster) == 2):
            logs = "\n".join(path.read_text() for path in folder.glob("*.log"))
            pytest.fail(f"Slurm's nodes did not come up:\n{logs}")
        yield cluster
        cluster.ask("scancel", "--user=root")
        _eventually(lambda: not cluster.ask("squeue", "--noheader"))


def _free_ports(count: int) -> list[int]:
    with ExitStack() as closing:
        sockets = [closing.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _munge(folder: Path) -> list[str]:
    key = folder / "key"
    key.touch(0o600)
    key.write_bytes(os.urandom(128))
    names = {"socket": "munge", "key-file": "key", "pid-file": "munge.pid", "seed-file": "seed"}
    places = [f"--{option}={folder / name}" for option, name in names.items()]
    return ["munged", "--foreground", "--force", f"--log-file={folder}/munge.log", *places]


def _start(
    ending: ExitStack, folder: Path, command: Sequence[str], variables: dict[str, str]
) -> None:
    """Start a daemon in the foreground, to be ended with the others, the last first."""
    output = ending.enter_context((folder / "output.log").open("a"))
    daemon = subprocess.Popen(command, env=variables, stdout=output, stderr=output)
    ending.callback(daemon.wait, 30)
    ending.callback(daemon.terminate)


def _idle(cluster: Slurm) -> int:
    try:
        return cluster.ask("sinfo", "--noheader", "--Node", "--format=%t").split().count("idle")
    except subprocess.SubprocessError:
        return 0


def _eventually(condition: Callable[[], object], within_s: float = 60) -> bool:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
