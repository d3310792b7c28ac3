"""The only place that imports an implementation, and builds its network."""

import importlib
import importlib.util
import inspect
import sys
from itertools import chain, repeat
from pathlib import Path
from types import ModuleType
from typing import Any, Unpack

import numpy as np

from bench.cells import Cell
from bench.executables import Executable
from bench.executables import module as module_of
from bench.worker import memory
from resnet_impls.architecture import Architecture
from resnet_impls.contract import Implementation, Options
from resnet_impls.weights import Weights


def imported(subject: Cell | Executable) -> ModuleType:
    """The module of what is measured or certified, with its framework.

    Raises ImportError where the framework finds no GPU that it is to compute on.
    """
    try:
        return load_module(module_of(subject, subject.world_size))
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
    **options: Unpack[Options],
) -> Implementation:
    """The network of `subject`, by its imported `module`.

    Raises ImportError as `imported` does, NotImplementedError for an option that it does not take.
    """
    _require_device(subject)
    if subject.world_size and subject.batch_norm:
        options |= Options(world_size=subject.world_size, batch_norm=subject.batch_norm)
    known = _known(module, options) if options else {}
    if lacking := sorted(options.keys() - known.keys() - {"learning_rates"}):
        raise NotImplementedError(f"its class Implementation takes no {' and no '.join(lacking)}")
    network: Implementation = module.Implementation(
        architecture,
        weights,
        device=subject.device,
        precision=subject.precision,
        mode=subject.mode,
        optimizer=optimizer,
        learning_rate=learning_rate,
        **known,
    )
    rates = options.get("learning_rates")
    if rates is not None and "learning_rates" not in known:
        return StepByStep(network, rates)
    return network


def _known(module: ModuleType, options: Options) -> dict[str, Any]:
    """Those of `options` that a module's class takes."""
    taken = inspect.signature(module.Implementation).parameters
    every = any(each.kind is each.VAR_KEYWORD for each in taken.values())
    return {name: value for name, value in options.items() if every or name in taken}


class StepByStep:
    """An implementation that knows of no schedule: its rate is set before each of its steps."""

    def __init__(self, network: Implementation, rates: np.ndarray) -> None:
        if not hasattr(network, "set_learning_rate"):
            raise NotImplementedError("a schedule needs a method set_learning_rate(rate)")
        self.network = network
        self.rates = chain(rates.tolist(), repeat(float(rates[-1])))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.network, name)

    def train(self, steps: int) -> np.ndarray:
        """The next optimizer steps, each at its rate; losses (steps,)."""
        losses = []
        for _ in range(steps):
            self.network.set_learning_rate(next(self.rates))
            losses.append(self.network.train(1))
        return np.concatenate(losses)


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
