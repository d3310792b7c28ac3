"""The installed distributions, as pip would be asked for the same again."""

from pathlib import Path

import pytest

from bench.cluster import node
from bench.machine import packages


@pytest.mark.parametrize(("beside", "version"), [((), "7.1"), (("pyproject.toml",), None)])
def test_what_lies_in_its_checkout_is_no_installed_package(
    beside: tuple[str, ...], version: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = tmp_path / "of_a_checkout.egg-info"
    metadata.mkdir()
    (metadata / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: of_a_checkout\nVersion: 7.1\n")
    for name in beside:
        (tmp_path / name).touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert packages.installed().get("of-a-checkout") == version


def test_a_node_tells_the_commit_of_its_code_whatever_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(packages, "installed", lambda: {"resnet-bench": "0.0.1", "numpy": "2.0"})
    monkeypatch.setattr(node, "code_version", lambda: "0.1.0 (commit 8eec895f1c2a)")
    versions = node.facts().versions
    assert versions["resnet-bench"] == "0.1.0 (commit 8eec895f1c2a)"
    assert versions["numpy"] == "2.0"
