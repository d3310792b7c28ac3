"""One run from its description to its records."""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.analysis import latency, statistics
from bench.analysis.steadiness import busy, leak
from bench.calibrate import certify
from bench.calibrate.peaks import Peaks, peak_of
from bench.cells import Cell, implementation
from bench.errors import UsageError
from bench.identity.certificate import Certificate
from bench.machine import energy
from bench.machine import facts as machine
from bench.parent.measurement import Outcome, Task
from bench.parent.schedule import Schedule
from bench.records import Record
from resnet_impls import weights as weights_files
from resnet_impls.architecture import ARCHITECTURES


def check_weights(cells: Iterable[Cell]) -> None:
    """Raises UsageError where the weights to start from are not those of a cell's model."""
    for file, model in dict.fromkeys((cell.weights, cell.model) for cell in cells):
        if file is not None:
            try:
                weights_files.load(Path(file), ARCHITECTURES[model])
            except (OSError, ValueError) as error:
                problem = getattr(error, "strerror", None) or error
                raise UsageError(
                    f"--load-weights {file}: {problem}; give a file that --save-weights wrote of "
                    f"{model}"
                ) from None


def measure(
    tasks: Sequence[Task],
    data_folders: Mapping[Cell, Path],
    certificates: Mapping[Cell, Certificate],
    *,
    run_id: str,
    machine_facts: Mapping[str, Any],
    logs: Path,
    timeout_s: float,
    seed: int,
    on_turn: Callable[[Task, str, int], None] = lambda task, turn, steps: None,
    weights: Path | None = None,
    peaks: Peaks | None = None,
) -> Generator[Record, None, None]:
    """Measure `tasks` and yield a Record for each as soon as it is known; trained weights go to
    the folder `weights`. `peaks` are those of this machine, as `peaks.probe` found them.

    Closing the iterator, or an exception in it, ends every worker.
    """
    schedule = Schedule(data_folders, logs, timeout_s, seed, on_turn, weights)
    outcomes = schedule.run(tasks)
    with closing(outcomes):
        for (cell, replicate), outcome in outcomes:
            certificate = certificates.get(certify.executable(cell))
            yield record(
                cell, replicate, outcome, certificate, run_id, machine_facts, peak_of(peaks, cell)
            )


def record(
    cell: Cell,
    replicate: int,
    outcome: Outcome,
    certificate: Certificate | None,
    run_id: str,
    machine_facts: Mapping[str, Any],
    peak: Mapping[str, Any] | None = None,
) -> Record:
    """The row of one outcome, with the values that follow from it; `peak`: the machine's.

    What was measured of an executable whose certificate failed is kept, as `uncertified`.
    """
    if certificate is not None:
        halves = {"float64": certificate.float64, "timed": certificate.timed}
        outcome |= {f"certificate_{name}": half.verdict for name, half in halves.items()}
        failed = [f"{name}: {half.verdict}" for name, half in halves.items() if not half.passed]
        if failed and outcome["status"] in ("ok", "uncertified"):  # the latter by its audit
            reasons = [outcome.get("reason"), *failed]
            outcome |= {"status": "uncertified", "reason": "; ".join(filter(None, reasons))}
    outcome = {
        name: tuple(value) if isinstance(value, list) else value for name, value in outcome.items()
    }
    row = Record(
        run_id=run_id,
        utc=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine_facts["machine"],
        processor=machine.processor(machine_facts, cell.device),
        framework=implementation(cell.implementation).framework,
        learning_rate=cell.learning_rate,
        replicate=replicate,
        **{field.name: getattr(cell, field.name) for field in fields(Cell)},
        **outcome,
    )
    speed = statistics.throughput(row)
    gflop = row.gflop_per_image
    host, device = leak(row, "host"), leak(row, "device")
    single = latency.quantiles(row.latency_ms)
    achieved = speed * gflop if speed and gflop else None
    return replace(
        row,
        throughput_images_per_s=speed,
        step_ms_median=single["median"],
        step_ms_p95=single["p95"],
        step_ms_p99=single["p99"],
        achieved_gflop_per_s=achieved,
        peak_fraction=achieved / peak["gflop_per_s"] if achieved and peak else None,
        host_leak_kib_per_step=host and host.kib_per_step,
        device_leak_kib_per_step=device and device.kib_per_step,
        energy_j_per_image=energy.j_per_image(row),
        busy=busy(row),
    )
