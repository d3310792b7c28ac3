"""What can be known before a run begins: whether this machine, and these files, can take it."""

import os
from collections.abc import Iterable
from pathlib import Path

from bench.cells import Cell
from bench.errors import UsageError
from bench.machine import cpus, devices, facts
from bench.records.folder import RunFolder
from bench.request.matrix import cells_of
from bench.request.profiles import Profile, fill
from bench.request.request import Request
from bench.words import plural
from resnet_impls import weights as weights_files
from resnet_impls.architecture import ARCHITECTURES


def filled(request: Request, profile: Profile) -> Request:
    """A request with what it leaves open filled in, by the profile and for this machine."""
    gpu_gib = facts.gpus()[0].memory_gib if facts.gpus() else None
    device, threads = devices.default(), cpus.cores()
    return fill(request, profile, device=device, threads=threads, gpu_gib=gpu_gib)


def cells_here(request: Request) -> list[Cell]:
    """The cells of a request that is filled in.

    Raises UsageError where this machine has too few CPUs or no GPU for them.
    """
    devices.check(request.devices)
    cpus.check([n for each in request.matrices for n in each.threads or ()])
    for each in request.matrices:
        check_ranks(each)
    return cells_of(request)


def check_ranks(request: Request) -> None:
    """Raises UsageError for more ranks than a worker has CPUs, or the machine has GPUs."""
    if "train-dp" not in (request.workload or ()):
        return
    nodes = int(os.environ.get("GROUP_WORLD_SIZE", "1"))  # as torchrun says
    for ranks in request.world_size or ():
        if ranks > 1 and ranks % nodes:
            raise UsageError(
                f"--world-size {ranks}: each of {nodes} nodes has as many ranks; choose 1 or a "
                f"multiple of {nodes}"
            )
    ranks = max(request.world_size or (1,))
    for device in request.device or ():
        row = devices.DEVICES[device]
        if device == "cpu":
            most = min(request.threads or (len(cpus.allowed()),))
            has = f"share the CPUs of a worker, which has {most}"
        else:
            most = len(row.chips())
            has = f"each have a chip, and this machine shows {plural(most, row.title)}"
        if ranks > most * nodes:
            on = f" on each of {nodes} nodes" if nodes > 1 else ""
            raise UsageError(
                f"--world-size {ranks}: ranks {has}{on}; choose at most {most * nodes}"
            )


def check_weights(cells: Iterable[Cell]) -> None:
    """Raises UsageError where the weights to start from are not those of a cell's model."""
    for file, model in dict.fromkeys((cell.weights, cell.model) for cell in cells):
        if file is None:
            continue
        try:
            weights_files.load(Path(file), ARCHITECTURES[model])
        except (OSError, ValueError) as error:
            problem = (error.strerror if isinstance(error, OSError) else None) or error
            raise UsageError(
                f"--load-weights {file}: {problem}; give a file that --save-weights wrote of "
                f"{model}"
            ) from None


def check_code(folder: RunFolder) -> None:
    """Raises UsageError where the file of a run names code that came with it: results are data."""
    for name in (name for each in folder.run.options.matrices for name in each.impl or ()):
        path = Path(name)
        inside = folder.path.resolve() in path.resolve().parents
        if name.endswith(".py") and (inside or not path.is_absolute()):
            raise UsageError(
                f"{folder.path}: its run.json names code, {name}, that may have come with it; "
                "measure that by a run of its own: resnet-bench run --impl"
            )


def check_machine(folder: RunFolder) -> None:
    """Raises UsageError where a run was begun on other hardware than this machine's.

    A run is of one machine: nothing would tell the rows of two apart.
    """
    began, here = (
        {"CPU": each.cpu, "number of CPUs": str(each.logical_cores), "GPUs": each.gpu_names}
        for each in (folder.run.machine, facts.this_machine())
    )
    if changed := [
        f"{what} {began[what]}, here {here[what]}" for what in here if began[what] != here[what]
    ]:
        raise UsageError(
            f"--resume {folder.path}: begun on another machine ({'; '.join(changed)}); begin a run "
            "here, and put both together by resnet-bench report"
        )
