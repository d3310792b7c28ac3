"""What the control groups of this process allow it, itself and all its ancestors (Linux).

Version 1 has a tree of groups for each controller, version 2 one tree for all. Both may be mounted
side by side. A container may see its own group as the root of a tree.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROCESS = Path("/proc/self")
MIB = 2**20


@dataclass(frozen=True)
class GroupMemory:
    """Memory that a group may hold, and what is left of it, in MiB."""

    limit_mib: float
    available_mib: float


def memory() -> GroupMemory | None:
    """Of the group that leaves the least; None where no group has a limit."""
    found = []
    for folder in groups("memory"):
        second = (folder / "memory.max").exists()
        names = ("memory.max", "memory.high") if second else ("memory.limit_in_bytes",)
        limits = [limit for name in names if (limit := _number(folder / name)) is not None]
        used = _number(folder / ("memory.current" if second else "memory.usage_in_bytes"))
        if not limits or used is None:
            continue
        # files that the kernel drops before it kills
        inactive = _entry(
            folder / "memory.stat", "inactive_file" if second else "total_inactive_file"
        )
        left = max(0, min(limits) - used + (inactive or 0))
        found.append(GroupMemory(min(limits) / MIB, left / MIB))
    return min(found, key=lambda each: each.available_mib, default=None)


def cpus() -> float | None:
    """As many CPUs as the quota stands for, of the group with the smallest; None without one."""
    quotas = []
    for folder in groups("cpu"):
        try:
            if (file := folder / "cpu.max").exists():
                quota, period = file.read_text().split()
            else:
                quota = (folder / "cpu.cfs_quota_us").read_text()
                period = (folder / "cpu.cfs_period_us").read_text()
            if quota != "max" and int(quota) > 0:
                quotas.append(int(quota) / int(period))
        except (OSError, ValueError, ZeroDivisionError):
            continue
    return min(quotas, default=None)


def oom_kills() -> int | None:
    """How many processes of this group, or where it does not count of the machine, the kernel has
    killed for want of memory so far; None where nobody counts.
    """
    files = [
        folder / name
        for folder in [*groups("memory")][:1]
        for name in ("memory.events", "memory.oom_control")
    ]
    for file in (*files, PROCESS.parent / "vmstat"):
        if (count := _entry(file, "oom_kill")) is not None:
            return count
    return None


def groups(controller: str) -> Iterator[Path]:
    """The folder of this process's group, then those of its ancestors, in each tree that has the
    controller.
    """
    try:
        lines = (PROCESS / "cgroup").read_text().splitlines()
        mounts = (PROCESS / "mountinfo").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers or controller in controllers.split(","):
            yield from _chain(controllers and controller, path, mounts)


def _chain(controller: str, path: str, mounts: list[str]) -> Iterator[Path]:
    """A group and its ancestors in the tree of a controller of version 1; empty: of version 2."""
    for mount in mounts:
        here, _, there = mount.partition(" - ")
        kind, _, options = there.split(" ", 2)
        if kind != ("cgroup" if controller else "cgroup2"):
            continue
        if controller and controller not in options.split(","):
            continue
        root, place = (_unescaped(word) for word in here.split()[3:5])
        # as seen from the root of the mount, which for a container is its own group
        inside = os.path.relpath(path, root)
        folder = Path(place) if inside.startswith("..") else Path(place) / inside
        while True:
            yield folder
            if folder == Path(place) or folder == folder.parent:
                return
            folder = folder.parent


def _unescaped(word: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), word)


def _number(file: Path) -> int | None:
    """Bytes; None where the file is absent, or says that there is no limit."""
    try:
        value = int(file.read_text())
    except (OSError, ValueError):  # "max"
        return None
    return value if value < 2**62 else None


def _entry(file: Path, name: str) -> int | None:
    """The number after a name, one on each line."""
    try:
        found = re.search(rf"^{name} (\d+)$", file.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found else None
