"""The code and the machine that a run meets here, and what was other in an earlier run."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

from bench import __version__
from bench.machine import packages
from bench.machine.facts import this_machine
from bench.records import Record, Run
from bench.records.run import Machine


def commit() -> str | None:
    """The commit of this code, with `-dirty` where it was changed since; None where nobody tells.

    A package may be installed below somebody else's checkout, whose commit says nothing of it.
    """
    here = Path(__file__)

    def git(*words: str) -> str:
        command = ["git", "-C", str(here.parent), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", here.name)
        return git("describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return None


def code_version() -> str:
    """`0.1.0 (commit 8eec895f1c2a)`, or without the commit where nobody tells it."""
    here = commit()
    return f"{__version__} (commit {here})" if here else __version__


def differences(run: Run, records: Iterable[Record]) -> list[str]:
    """`torch 2.15.0, here 2.14.1`, for all that is known of a run with these records and is not the
    same here: code, machine and installed packages.
    """
    here = commit()
    code = f"{__version__} (commit {here})" if here else __version__
    then = {"resnet-bench": run.code_version, **_facts(run.machine)}
    now = {"resnet-bench": code, **_facts(this_machine())}
    found = [
        f"{what} {was}, here {now[what] or 'not known'}"
        for what, was in then.items()
        if was and was != now[what]
    ]
    versions = dict(run.packages)
    for record in records if not versions else ():  # of an older run, whose rows name frameworks
        versions |= {name: at for name, at in record.versions.items() if name != "python"}
    return found + packages.changes(versions, packages.installed())


def _facts(machine: Machine) -> dict[str, str | None]:
    cores = machine.physical_cores and f"{machine.physical_cores} ({machine.logical_cores} logical)"
    return {
        "processor": machine.cpu,
        "cores": cores or None,
        "memory": (machine.memory_gib and f"{machine.memory_gib} GiB") or None,
        "GPUs": machine.gpu_names,
        "system": machine.os,
        "Python": machine.python,
    }
