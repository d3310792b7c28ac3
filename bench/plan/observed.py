"""What the processes of a cell took in an earlier run: the material of all estimates."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.cells import Cell
from bench.parent.measurement import warm_up_steps
from bench.records import Record, Run
from bench.validation import NotNegative, Positive, PositiveInt


@dataclass(frozen=True, kw_only=True)
class Observed:
    """One cell in one run: medians over its processes. None: not known of it."""

    run_id: str
    machine: str
    processor: str
    implementation: str
    backend: str
    mode: str
    model: str
    workload: str
    device: str
    precision: str
    batch_size: PositiveInt
    dataset: str
    optimizer: str | None = None
    threads: PositiveInt | None = None
    streams: PositiveInt | None = None
    world_size: PositiveInt | None = None
    batch_norm: str | None = None
    steps: PositiveInt
    target_accuracy: NotNegative | None = None
    peak_gflop_per_s: Positive | None = None  # of the machine, for this precision and threads
    copy_gb_per_s: Positive | None = None
    import_s: NotNegative | None = None
    build_s: NotNegative | None = None
    first_step_s: NotNegative
    step_s: Positive
    evaluation_s: NotNegative | None = None  # of one evaluation of train-to
    host_baseline_mib: Positive | None = None
    host_peak_mib: Positive | None = None
    device_peak_mib: NotNegative | None = None
    test_accuracy: NotNegative | None = None  # after `steps`
    reached_steps: PositiveInt | None = None  # until `target_accuracy`

    @property
    def images_per_step(self) -> int:
        """As a cell's."""
        return self.batch_size * (self.streams or 1)


def observed(records: Iterable[Record], runs: Iterable[Run]) -> list[Observed]:
    """What the processes that are ok of each cell and run took, in the order of the records."""
    described = {run.run_id: run for run in runs}
    groups: dict[tuple[str, Cell], list[Record]] = {}
    for record in records:
        if record.status == "ok" and record.first_step_s is not None and record.block_s:
            groups.setdefault((record.run_id, record.cell), []).append(record)
    return [_of_cell(cell, rows, described.get(run_id)) for (run_id, cell), rows in groups.items()]


def _of_cell(cell: Cell, rows: Sequence[Record], run: Run | None) -> Observed:
    peak = run.peak_of(cell) if run else None
    step_s = statistics.median(sum(row.block_s) / sum(row.block_steps) for row in rows)
    evaluations = [
        row.evaluation_s / len(row.accuracies)
        for row in rows
        if row.evaluation_s and row.accuracies
    ]
    return Observed(
        run_id=rows[0].run_id,
        machine=rows[0].machine,
        processor=rows[0].processor,
        implementation=cell.implementation,
        backend=cell.backend,
        mode=cell.mode,
        model=cell.model,
        workload=cell.workload,
        device=cell.device,
        precision=cell.precision,
        batch_size=cell.batch_size,
        dataset=cell.dataset,
        optimizer=cell.optimizer,
        threads=cell.threads,
        streams=cell.streams,
        world_size=cell.world_size,
        batch_norm=cell.batch_norm,
        steps=cell.steps,
        target_accuracy=cell.target_accuracy,
        peak_gflop_per_s=peak.gflop_per_s if peak else None,
        copy_gb_per_s=peak.copy_gb_per_s if peak else None,
        import_s=_median(rows, "import_s"),
        build_s=_median(rows, "build_s"),
        first_step_s=_median(rows, "first_step_s") or 0.0,
        step_s=step_s,
        evaluation_s=statistics.median(evaluations) if evaluations else None,
        host_baseline_mib=_median(rows, "host_baseline_mib"),
        host_peak_mib=_median(rows, "host_peak_mib"),
        device_peak_mib=_median(rows, "device_peak_mib"),
        test_accuracy=_median(rows, "test_accuracy"),
        reached_steps=round(_median(rows, "reached_steps") or 0) or None,
    )


def _median(rows: Iterable[Record], field: str) -> float | None:
    values = [value for row in rows if (value := getattr(row, field)) is not None]
    return statistics.median(values) if values else None


def timed_steps(steps: int) -> int:
    """How many of a cell's steps are in its blocks: all but the first and the warm-up."""
    return max(0, steps - 1 - warm_up_steps(steps))


def latest(found: Iterable[Observed], most: int) -> list[Observed]:
    """The last `most` of them; of one cell and run only the last."""
    kept: dict[object, Observed] = {}
    for each in found:
        key = (each.run_id, *cell_key(each).values(), each.steps, each.dataset)
        kept.pop(key, None)
        kept[key] = each
    return list(kept.values())[-most:]


def cell_key(of: Observed | Cell) -> Mapping[str, object]:
    """What two cells share that take equally long per step."""
    names = ("implementation", "backend", "mode", "model", "precision", "workload", "batch_size")
    loads = ("device", "threads", "streams", "world_size", "batch_norm")
    return {name: getattr(of, name) for name in (*names, *loads)}
