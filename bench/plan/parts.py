"""The parts of a run beside one process: certificates, peaks, and many processes in their cohorts.

Certificates: each half is a process that builds the network, compiles training and takes 20 steps
of a few images; with the reference's own solution where the cache does not hold that.
CERTIFY_COMPILES is by the published runs that worked out all of theirs.
"""

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.cells import TRAINING, Cell
from bench.data.datasets import check, synthetic_counts
from bench.errors import UsageError
from bench.executables import Executable
from bench.plan.costs import START_S, Costs
from bench.plan.estimate import Estimator, assumed
from resnet_impls.architecture import ARCHITECTURES

Task = tuple[Cell, int]  # a cell and its replicate

PEAK_S = 7.0
DATA_S = 3.0
REPORTS_S = 4.0
PROBLEM_S = 15.0
BESIDE = 1.25  # times as long takes a half that is worked out beside one on another processor
CERTIFY_COMPILES = 1.2  # first steps of the cell, in each half


def peaks_s(count: int) -> float:
    """Seconds to measure so many peaks."""
    return PEAK_S * count


def half_name(part: Executable) -> str:
    """What the seconds of a half are remembered by."""
    return f"{part.implementation} {part.name} {part.device}"


def certificates_s(
    estimator: Estimator,
    cells: Iterable[Cell],
    wanted: Iterable[Executable],
    *,
    problems: int,
    measured: Mapping[str, float],
    processors: int,
) -> float:
    """Seconds to work out so many problems, and then the halves `wanted` of the certificates of
    `cells`, one on each processor.

    `measured` holds what halves were seen to take here, by `half_name`.
    """
    each_s = halves_s(estimator, cells, wanted, measured=measured)
    return problems * PROBLEM_S + side_by_side_s(each_s.values(), processors)


def side_by_side_s(each_s: Collection[float], processors: int) -> float:
    """Seconds until all are done that take so long alone, one on each processor."""
    if processors == 1 or len(each_s) < 2:
        return sum(each_s)
    return max(max(each_s), sum(each_s) * BESIDE / min(processors, len(each_s)))


def halves_s(
    estimator: Estimator,
    cells: Iterable[Cell],
    wanted: Iterable[Executable],
    *,
    measured: Mapping[str, float],
) -> dict[str, float]:
    """Seconds to work out each half, by `half_name`."""
    by_executable: dict[tuple[str, ...], Cell] = {}
    for cell in cells:
        key = (cell.implementation, cell.backend, cell.mode, cell.model, cell.device)
        if key not in by_executable or cell.workload in TRAINING:
            by_executable[key] = cell
    seconds = {}
    for part in wanted:
        known = measured.get(half_name(part))
        cell = by_executable[part.implementation, part.backend, part.mode, part.model, part.device]
        costs = estimator.costs(cell) or assumed(cell)
        seconds[half_name(part)] = half_s(costs) if known is None else known
    return seconds


def half_s(costs: Costs) -> float:
    """Seconds of one half of a certificate."""
    compile_s = max(0.0, costs.first_step_s - costs.step_s)
    return START_S + costs.import_s + costs.build_s + CERTIFY_COMPILES * compile_s + 1.0


def measuring_s(estimator: Estimator, tasks: Sequence[Task], *, processors: int) -> float | None:
    """Seconds to measure all tasks of which something is known; None where nothing is of any."""
    found = estimator.seconds(tasks, processors).values()
    known = [sum(each.values()) for each in found if each is not None]
    return sum(known) if known else None


@dataclass(frozen=True)
class Disk:
    """MiB on disk: those that go when the run ends, and those that stay."""

    while_running_mib: float
    kept_mib: float


REPORT_MIB = 1.2
RECORD_KIB = 5.0
IMAGES = {"digits": 1797, "cifar10": 60_000, "cifar100": 60_000, "svhn": 99_289}
TRAINING_IMAGES = {  # how many, and their pixels
    **{"digits": (1437, 8), "cifar10": (50_000, 32), "cifar100": (50_000, 32)},
    "svhn": (73_257, 32),
}


def check_data(cells: Iterable[Cell], data_dir: str | None) -> None:
    """Raises UsageError where a dataset is known not to do, without reading it."""
    if data_dir and not os.path.isdir(data_dir):
        raise UsageError(f"--data-dir {data_dir}: there is no such folder")
    for cell in cells:
        size, classes = ARCHITECTURES[cell.model].image_size, ARCHITECTURES[cell.model].classes
        images, pixels = TRAINING_IMAGES.get(cell.dataset) or (synthetic_counts(size)[0], size)
        check(cell.dataset, images, pixels, size, cell.batch_size, classes)


def disk(cells: Iterable[Cell], replicates: int, *, save_weights: bool) -> Disk:
    """What a run leaves, and the images that its workers share, float32 (N, H, W, 3)."""
    every = list(cells)
    shared = {(cell.dataset, ARCHITECTURES[cell.model].image_size) for cell in every}
    images = sum(
        (IMAGES.get(name) or sum(synthetic_counts(size))) * size**2 * 3 * 4 for name, size in shared
    )
    weights = sum(
        ARCHITECTURES[cell.model].parameter_count * 4 * replicates
        for cell in every
        if save_weights and cell.workload in TRAINING
    )
    records = len(every) * replicates * RECORD_KIB / 1024
    return Disk(images / 2**20, REPORT_MIB + records + weights / 2**20)
