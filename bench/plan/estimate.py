"""What a cell costs on this machine, by the nearest cell that was observed, here or elsewhere.

What differs from the nearest is scaled:

- another batch, network or workload: a step by its images and by what the machine's roofline allows
  each (without peaks by its FLOPs), memory by the elements that it holds;
- another precision: by the peaks of both, where known;
- another machine: all times by the geometric mean of the ratios of its peak and of its copies,
  since both bound parts of a network. Of three published machines this ratio is 1.35 and 0.84 to
  the first, and that of their steps 1.66 and 0.83. Without peaks, nothing is scaled.

Where several are equally near, the geometric mean counts.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from operator import attrgetter

from bench.analysis.roofline import image_bytes, roofline
from bench.cells import TRAINING, Cell
from bench.machine.devices import ACCELERATORS, DEVICES
from bench.plan.costs import Costs, processes_s
from bench.plan.nearest import Observations, Sight
from bench.plan.observed import Observed
from bench.records.run import Peak, peak_key
from resnet_impls.architecture import ARCHITECTURES

_LOAD: Callable[[Observed | Cell], tuple[object, ...]] = attrgetter(
    *("model", "precision", "workload", "batch_size", "streams", "world_size", "batch_norm")
)
# Of a cell of which nothing is known: only for `--budget`, which must begin with something
ASSUMED_START_S = 2.0


@dataclass(frozen=True)
class Here:
    """What of this machine decides how observations are scaled to it."""

    machine: str
    processors: Mapping[str, str]  # device -> the chip that does the work
    peaks: Mapping[str, Mapping[str, Peak]] = field(default_factory=dict)  # as of a run

    def peak(self, device: str, threads: int | None, precision: str) -> Peak | None:
        """The machine's peak; None where none is known."""
        return self.peaks.get(device, {}).get(peak_key(threads, precision))


@dataclass(frozen=True)
class _Start:
    """What a contender costs whatever its batch, by some observations."""

    import_s: float
    build_s: float
    slower: Sequence[float]  # of each: how many times as long this machine takes
    precision: Sequence[float]  # and how many times as long a step takes in this precision


class Estimator:
    """Estimates from observations, those of `own` made on this very machine."""

    def __init__(
        self, here: Here, own: Iterable[Observed], published: Iterable[Observed] = ()
    ) -> None:
        self.here = here
        self.observations = Observations(own, published)
        self._costs: dict[Cell, Costs | None] = {}
        self._starts: dict[tuple[object, ...], _Start] = {}  # by observations, and what of a cell

    def learn(self, found: Iterable[Observed]) -> None:
        """Take in what was just measured here, in place of what was known of the same runs."""
        self.observations = self.observations.with_own(found)
        self._costs, self._starts = {}, {}

    def costs(self, cell: Cell) -> Costs | None:
        """What one process of a cell costs; None where nothing is known that is like it."""
        if cell not in self._costs:
            self._costs[cell] = self._worked_out(cell)
        return self._costs[cell]

    def _worked_out(self, cell: Cell) -> Costs | None:
        if cell.batch_size < 1 or cell.model not in ARCHITECTURES:
            return None
        found = self.observations.nearest(cell, same_mode=False)
        if not found:
            return None
        costs = self._scaled(cell, found)
        if found[0][0].mode == cell.mode:
            return costs
        # To compile is what a mode does, so another implementation's first step says more
        same_mode = self.observations.nearest(cell, same_mode=True)
        if not same_mode:
            return costs
        begun = self._scaled(cell, same_mode)
        return replace(costs, first_step_s=begun.first_step_s)

    def of(self, cells: Iterable[Cell]) -> dict[Cell, Costs | None]:
        """The costs of all cells."""
        return {cell: self.costs(cell) for cell in cells}

    def seconds(
        self, tasks: Iterable[tuple[Cell, int]], processors: int
    ) -> dict[tuple[Cell, int], dict[str, float] | None]:
        """Wall seconds of each request of each task; None where nothing is known."""
        of_cell: dict[Cell, tuple[dict[str, float], dict[str, float]] | None] = {}
        last: Cell | None = None  # tasks of a cell mostly follow each other
        found = {}
        for task in tasks:
            cell, replicate = task
            if cell is not last:
                last = cell
                if cell not in of_cell:
                    costs = self.costs(cell)
                    of_cell[cell] = processes_s(cell, costs, processors) if costs else None
                both = of_cell[cell]
            found[task] = both and both[replicate > 0]
        return found

    def _scaled(self, cell: Cell, found: Sequence[Sight]) -> Costs:
        seen = [each for each, _ in found]
        start = self._start(cell, found)
        steps, first, evaluations = [], [], []
        for each, factor, precision in zip(seen, start.slower, start.precision, strict=True):
            more = self._work(cell, each) * precision
            steps.append(each.step_s * factor * more)
            # A first step compiles, which no batch makes longer, and then is a step
            compile_s = max(0.0, each.first_step_s - each.step_s)
            first.append(factor * (compile_s + each.step_s * more))
            if each.evaluation_s is not None:
                evaluations.append(each.evaluation_s * factor * more)
        return Costs(
            import_s=start.import_s,
            build_s=start.build_s,
            first_step_s=_mean(first) or 0.0,
            step_s=_mean(steps) or 1.0,
            evaluation_s=_mean(evaluations),
            steps_to_target=self._steps_to_target(cell),
            memory_mib=_mean(_memory_mib(cell, seen)),
            basis=_basis(cell, seen[0], here=found[0][1]),
        )

    def _start(self, cell: Cell, found: Sequence[Sight]) -> "_Start":
        """What does not depend on the batch, and so is the same for many cells of a plan."""
        key = (*(id(each) for each, _ in found), cell.device, cell.threads, cell.precision)
        if key not in self._starts:
            seen = [each for each, _ in found]
            slower = [1.0 if here else self._slower(cell, each) for each, here in found]

            def mean(pick: Callable[[Observed], float | None]) -> float:
                known = [(pick(each), factor) for each, factor in zip(seen, slower, strict=True)]
                return (
                    _mean([value * factor for value, factor in known if value is not None]) or 0.0
                )

            self._starts[key] = _Start(
                import_s=mean(lambda each: each.import_s),
                build_s=mean(lambda each: each.build_s),
                slower=slower,
                precision=[self._precision(cell, each) for each in seen],
            )
        return self._starts[key]

    def _slower(self, cell: Cell, seen: Observed) -> float:
        """How many times as long this machine takes as that of `seen`."""
        if seen.peak_gflop_per_s is None or seen.copy_gb_per_s is None:
            return 1.0
        ours = self.here.peak(cell.device, cell.threads, seen.precision)
        if ours is None:
            return 1.0
        ratio = seen.peak_gflop_per_s / ours.gflop_per_s
        return math.sqrt(ratio * seen.copy_gb_per_s / ours.copy_gb_per_s)

    def _work(self, cell: Cell, seen: Observed) -> float:
        """How many times as long the arithmetic and the copies of a step of `cell` take, in the
        precision of `seen`, at their best.
        """
        images = cell.images_per_step / seen.images_per_step
        if cell.device in ACCELERATORS and images < 1:
            images = 1.0  # a small step lasts as long as it takes to launch its kernels
        if (cell.model, cell.workload) == (seen.model, seen.workload):
            return images
        ratio = _image_flops(cell) / _image_flops(seen)
        peak = self.here.peak(cell.device, cell.threads, seen.precision)
        if peak is not None:
            like = replace(cell, precision=seen.precision)
            ours = roofline(like, peak)
            theirs = roofline(replace(like, model=seen.model, workload=seen.workload), peak)
            if ours and theirs:
                ratio = theirs.ceiling_images_per_s / ours.ceiling_images_per_s
        return images * ratio

    def _precision(self, cell: Cell, seen: Observed) -> float:
        """How many times as long a step takes in the precision of `cell` as in that of `seen`."""
        ours = self.here.peak(cell.device, cell.threads, cell.precision)
        theirs = self.here.peak(cell.device, cell.threads, seen.precision)
        return theirs.gflop_per_s / ours.gflop_per_s if ours and theirs else 1.0

    def _steps_to_target(self, cell: Cell) -> int | None:
        """After how many steps train-to is done, by what was seen of such training: the steps that
        it took, or the fewest after which a run was as accurate. None: not known.
        """
        if cell.target_accuracy is None:
            return None
        alike = [
            each
            for each in (*self.observations.own, *self.observations.published)
            if (each.model, each.dataset, each.optimizer, each.batch_size)
            == (cell.model, cell.dataset, cell.optimizer, cell.batch_size)
        ]
        same = [each for each in alike if each.implementation == cell.implementation] or alike
        reached = [
            each.reached_steps
            for each in same
            if each.reached_steps and each.target_accuracy == cell.target_accuracy
        ]
        if reached:
            return sorted(reached)[len(reached) // 2]
        enough = [e.steps for e in alike if (e.test_accuracy or 0.0) >= cell.target_accuracy]
        return min(enough, default=None)


def assumed(cell: Cell) -> Costs:
    """What to begin with where nothing is known: a start of seconds, and a step by its FLOPs."""
    size = max(1, cell.images_per_step)
    gflop = _image_flops(cell) * size / 1e9
    step_s = gflop / DEVICES[cell.device].assumed_gflop_per_s
    return Costs(ASSUMED_START_S, 0.5, step_s, step_s, None, None, None, "assumed")


def _basis(cell: Cell, seen: Observed, *, here: bool) -> str:
    if (seen.implementation, seen.mode) != (cell.implementation, cell.mode):
        return "guessed"
    if _LOAD(seen) != _LOAD(cell):
        return "scaled"
    return "measured here" if here else "measured elsewhere"


def _image_flops(of: Cell | Observed) -> float:
    architecture = ARCHITECTURES[of.model]
    training = of.workload in TRAINING
    return float(architecture.training_flops if training else architecture.forward_flops)


def _memory_mib(cell: Cell, seen: Iterable[Observed]) -> list[float]:
    """What a worker of the cell holds, by each of those of which it is known."""
    known = [each for each in seen if each.host_peak_mib is not None]
    if cell.device in ACCELERATORS:
        return [each.host_peak_mib or 0.0 for each in known]
    elements = _elements(cell.model, cell.workload, cell.precision, cell.batch_size)
    found = []
    for each in known:
        peak = each.host_peak_mib or 0.0
        base = min(each.host_baseline_mib or 0.0, peak)
        theirs = _elements(each.model, each.workload, each.precision, each.batch_size)
        found.append(base + (peak - base) * elements / theirs)
    return found


@cache
def _elements(model: str, workload: str, precision: str, batch_size: int) -> float:
    """What a batch moves, which is what it holds as well."""
    return image_bytes(ARCHITECTURES[model], workload, precision, batch_size) * batch_size


def _mean(values: Sequence[float]) -> float | None:
    """The geometric mean; None of none."""
    positive = [value for value in values if value > 0]
    if not positive:
        return 0.0 if values else None
    return math.exp(math.fsum(map(math.log, positive)) / len(positive))
