"""The rooms of the house: packages and modules of `bench`, and `resnet_impls`, import downwards."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def room(module: str) -> str | None:
    """The room that a dotted name lies in; None for what is not ours, and for `bench` itself."""
    first, *rest = module.split(".")
    if first == "resnet_impls":
        return first
    return rest[0] if first == "bench" and rest else None


def imports(path: Path) -> Iterator[str]:
    """The dotted names that a file imports, wherever in it, or starts as a process."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            name = node.value
            if name.startswith("bench.") and all(map(str.isidentifier, name.split("."))):
                yield name


def graph() -> dict[str, dict[str, list[str]]]:
    """Room -> each other room that it imports -> by which files and names."""
    found: dict[str, dict[str, list[str]]] = {}
    for path in sorted([*ROOT.glob("bench/**/*.py"), *ROOT.glob("resnet_impls/*.py")]):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        here = room(name)
        if here is None or here == "__init__":
            continue
        arrows = found.setdefault(here, {})
        for target in imports(path):
            there = room(target)
            if there not in (None, here, "__version__"):
                arrows.setdefault(there, []).append(f"{name} -> {target}")
    return found


def test_the_graph_of_rooms_has_no_circle() -> None:
    arrows = graph()
    assert len(arrows) > 15
    try:
        list(TopologicalSorter(arrows).static_order())
    except CycleError as error:
        circle = error.args[1]  # each is imported by the next
        told = [line for a, b in zip(circle[1:], circle, strict=False) for line in arrows[a][b]]
        pytest.fail(f"{' <- '.join(circle)}\n" + "\n".join(told))


def test_rooms_stand_in_the_order_that_contributors_are_told() -> None:
    table = (ROOT / "CONTRIBUTING.md").read_text("utf-8").split("| room of `bench/` |", 1)[1]
    rows = [line.split("|")[1] for line in table.split("\n\n", 1)[0].splitlines()[2:]]
    floors = [
        {name.removesuffix(".py") for name in re.findall(r"`(\w+(?:\.py)?)/?`", row)}
        for row in rows
    ]
    floor = {name: number for number, names in enumerate(floors) for name in names}
    arrows = graph()
    assert arrows.keys() == floor.keys() | {"resnet_impls", "__main__"}
    upwards = [
        line
        for here, targets in arrows.items()
        for there, lines in targets.items()
        for line in lines
        if here in floor and there in floor and floor[there] > floor[here]
    ]
    assert upwards == []


def test_the_instrument_is_above_what_it_measures() -> None:
    assert graph()["resnet_impls"] == {}


def test_reports_and_analysis_know_nothing_of_running() -> None:
    below = {"cells", "errors", "records", "resnet_impls", "validation", "words"}
    assert graph()["analysis"].keys() <= below
    below |= {"analysis", "cache", "collector", "executables", "files", "identity", "obstacles"}
    below |= {"processes", "request"}
    assert graph()["reports"].keys() <= below


def python(program: str) -> set[str]:
    """What a fresh interpreter has imported after `program`."""
    finished = subprocess.run(
        [sys.executable, "-c", f"import sys\n{program}\nprint(*sys.modules, file=sys.stderr)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.partition(".")[0] for name in finished.stderr.split()}


def test_no_module_of_the_parent_imports_a_framework() -> None:
    modules = python(
        """
import bench, importlib, pkgutil
for module in pkgutil.walk_packages(bench.__path__, "bench."):
    # what workers import, and what is planted in them
    if not module.name.endswith("_feed") and ".planted" not in module.name:
        importlib.import_module(module.name)
for name in ("catalogue", "architecture", "weights"):
    importlib.import_module(f"resnet_impls.{name}")
assert {"bench.parent.schedule", "bench.reports.formats.csv"} <= sys.modules.keys()
"""
    )
    frameworks = {"torch", "torchvision", "tensorflow", "keras", "jax", "flax"}
    assert not modules & (frameworks | {"pandas"})


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["--version"], ["list"], ["describe", "resnet14"]]
)
def test_what_should_answer_at_once_imports_nothing_heavy(arguments: list[str]) -> None:
    modules = python(
        f"""
from bench.cli.main import main
try:
    main({arguments})
except SystemExit as end:
    assert end.code == 0
"""
    )
    assert "bench" in modules
    assert not modules & {"numpy", "scipy", "torch", "tensorflow", "jax", "keras"}
