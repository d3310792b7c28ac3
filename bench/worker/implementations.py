"""The only place that imports an implementation, and builds its network."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from bench.cells import Cell, Executable, implementation
from bench.worker import memory
from resnet_impls.architecture import Architecture
from resnet_impls.contract import Implementation
from resnet_impls.weights import Weights


def imported(subject: Cell | Executable) -> ModuleType:
    """The module of what is measured or certified, with its framework.

    Raises ImportError where the framework finds no GPU that it is to compute on.
    """
    try:
        return load_module(implementation(subject.implementation).module)
    except Exception:  # which some frameworks raise on import where there is no GPU
        _require_device(subject)
        raise


def built(
    subject: Cell | Executable,
    module: ModuleType,
    architecture: Architecture,
    weights: Weights,
    optimizer: str,
    learning_rate: float,
) -> Implementation:
    """The network of `subject`, by its imported `module`. Raises ImportError as `imported` does."""
    _require_device(subject)
    network: Implementation = module.Implementation(
        architecture,
        weights,
        device=subject.device,
        precision=subject.precision,
        mode=subject.mode,
        optimizer=optimizer,
        learning_rate=learning_rate,
    )
    return network


def _require_device(subject: Cell | Executable) -> None:
    if not memory.finds(subject.device, subject.backend):
        raise ImportError(f"this {subject.backend} finds no {subject.device} device")


def load_module(name: str) -> ModuleType:
    """Import an implementation: a dotted name, or the path of a Python file."""
    if not name.endswith(".py"):
        return importlib.import_module(name)
    path = Path(name)
    # a file may import its neighbours, and where it is a link those of what it leads to
    sys.path += dict.fromkeys([str(path.resolve().parent), str(path.parent)])
    spec = importlib.util.spec_from_file_location(_module_name(path), path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses and pickle look for what it defines
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
    return module


def _module_name(path: Path) -> str:
    """What a file's module is called: its stem where an import of that finds this very file, as a
    process that the file starts will do to unpickle what it is given. Else the stem may be the name
    of a module loaded long ago.
    """
    try:
        found = importlib.util.find_spec(path.stem)
    except (ImportError, ValueError, AttributeError):  # no name of a module, or one half loaded
        found = None
    same = found is not None and found.origin is not None and Path(found.origin) == path
    return path.stem if same and path.stem not in sys.modules else f"{path.stem} (a user's file)"
