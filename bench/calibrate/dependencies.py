"""What a certificate depends on besides its executable: source files, and installed packages.

Both are found and not listed: files by the imports that their text states, packages of a GPU by
their names.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from types import ModuleType

import bench
import resnet_impls
from bench.machine.devices import DEVICES
from bench.obstacles import installed

# Beginnings of the names of packages that compute on a GPU for those that are named: CUDA's
# libraries as cuDNN and cuBLAS, JAX's plugin, PyTorch's compiler

Sources = dict[Path, bytes]  # file -> its content


def sources(files: Iterable[Path], folder: Path | None = None) -> Sources:
    """`files`, and all that they import of `bench`, of `resnet_impls` and of `folder`; what those
    import too, and so on.

    An import within a function counts as any other. What cannot be read or is no Python imports
    nothing.
    """
    found: Sources = {}
    waiting = list(files)
    while waiting:
        file = waiting.pop()
        if file not in found:
            found[file] = file.read_bytes() if file.is_file() else b""
            for name in _imports(found[file]):
                waiting += _files(name, folder)
    return found


def fingerprint(found: Sources) -> str:
    """SHA-256 of the contents of all files."""
    digest = hashlib.sha256()
    for _, content in sorted(found.items()):
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()


def module_file(package: ModuleType, *names: str) -> Path:
    """The file of a module: `module_file(bench, "worker", "__main__")`."""
    return Path(next(iter(package.__path__))).joinpath(*names).with_suffix(".py")


@cache
def _imports(content: bytes) -> frozenset[str]:
    """The names of all modules that a source may import; both packages' imports are absolute."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return frozenset()
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def _files(name: str, folder: Path | None) -> Iterator[Path]:
    """The files that are run where `name` is imported: its own, and those of its packages."""
    first, *rest = name.split(".")
    packages = [package for package in (bench, resnet_impls) if package.__name__ == first]
    places = [Path(next(iter(package.__path__))) for package in packages]
    places += [folder / first] if folder else []
    for place in places:
        for path in (place, *(place.joinpath(*rest[:count]) for count in range(1, len(rest) + 1))):
            for file in (path / "__init__.py", path.with_name(f"{path.name}.py")):
                if file.is_file():
                    yield file


def versions(packages: Iterable[str], device: str) -> Mapping[str, str | None]:
    """The installed version of each package, and on a GPU of those that compute there for them."""
    return {name: installed(name) for name in sorted(packages)} | (
        _device_versions(DEVICES[device].packages)
    )


@cache
def _device_versions(beginnings: tuple[str, ...]) -> dict[str, str]:
    if not beginnings:  # to read what all distributions are called takes a third of a second
        return {}
    every = ((each.name.lower().replace("_", "-"), each.version) for each in distributions())
    return dict(sorted(pair for pair in every if pair[0].startswith(beginnings)))
