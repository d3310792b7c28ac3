"""The installed distributions, as pip would be asked for the same again."""

import re
from collections.abc import Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path

from bench.validation import parse


def installed() -> dict[str, str]:
    """Distribution -> its version, or the address of the very source that it was made from.

    One that was installed from a folder, or lies in its checkout, is left out: nobody else has that
    folder.
    """
    found = {_name(each): version for each in distributions() if (version := _version(each))}
    return dict(sorted(found.items()))


def _name(distribution: Distribution) -> str:
    """As indexes compare names: `py-cpuinfo2`."""
    return re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()


def _version(distribution: Distribution) -> str | None:
    source = distribution.read_text("direct_url.json")
    if source is None:
        # setuptools leaves metadata in a checkout, which is found where that is on the path
        checkout = Path(str(distribution.locate_file("pyproject.toml"))).is_file()
        return None if checkout else distribution.version
    try:
        told = parse(source, dict)
    except ValueError:
        return distribution.version
    url, vcs = told.get("url", ""), told.get("vcs_info")
    if isinstance(vcs, dict):
        return f"{vcs.get('vcs', 'git')}+{url}@{vcs.get('commit_id')}"
    return url if isinstance(url, str) and url.startswith("https://") else None


def changes(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """`numpy 2.1.0, here 2.3.5`, for each distribution of `then` that is not the same `now`."""
    return [
        f"{name} {version}, here {now.get(name, 'not installed')}"
        for name, version in then.items()
        if now.get(name) != version
    ]
