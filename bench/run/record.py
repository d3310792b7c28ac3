"""The row of a task: the one place where answers of workers become fields of a `Record`."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from bench.analysis import effective, energy, latency, statistics
from bench.analysis.steadiness import busy, leak
from bench.cells import Cell, Workload
from bench.executables import implementation
from bench.identity.certificate import Certificate
from bench.parent.outcome import Outcome, Task
from bench.records.record import Record, Status, from_json
from bench.records.run import Run
from bench.worker.environment import Environment, stated


def record(task: Task, outcome: Outcome, certificate: Certificate | None, run: Run) -> Record:
    """The row of a task, with the values that follow from those that were measured.

    Where these cannot be, as a speed beyond all machines, the row says so and holds none of them.
    """
    row = _derived(_measured(task, outcome, certificate, run), run)
    try:
        from_json(row.to_json())
    except ValueError as error:
        reason = f"its answers led to garbage: {error}"
        impossible = Outcome("crashed", reason, outcome.cohort, request_s=outcome.request_s)
        return _measured(task, impossible, certificate, run)
    return row


def _derived(row: Record, run: Run) -> Record:
    speed, gflop, peak = statistics.throughput(row), row.gflop_per_image, run.peak_of(row.cell)
    achieved = speed * gflop if speed and gflop else None
    host, device = leak(row, "host"), leak(row, "device")
    single = latency.quantiles(row.latency_ms)
    return replace(
        row,
        throughput_images_per_s=speed,
        step_ms_median=single["median"],
        step_ms_p95=single["p95"],
        step_ms_p99=single["p99"],
        achieved_gflop_per_s=achieved,
        peak_fraction=achieved / peak.gflop_per_s if achieved and peak else None,
        host_leak_kib_per_step=host and host.kib_per_step,
        device_leak_kib_per_step=device and device.kib_per_step,
        energy_j_per_image=energy.j_per_image(row),
        busy=busy(row),
    )


def _measured(task: Task, outcome: Outcome, certificate: Certificate | None, run: Run) -> Record:
    (cell, replicate), settings = task, _settings(task[0], outcome)
    status, reason = _status(outcome, certificate, effective.contradictions(cell, settings))
    built, warmed_up, blocks = outcome.built, outcome.warmed_up, outcome.blocks
    approach, state = outcome.approach, outcome.machine_state
    finished, fed = outcome.finished, outcome.finished and outcome.finished.data_sha256
    peaks = None if outcome.compile_cache_warm else finished  # which a compiler's memory is part of
    # Beside others, builds are slower; with what an earlier process compiled, all is faster
    alone = built if outcome.built_alone and not outcome.compile_cache_warm else None
    warmed = None if outcome.warm_up_stopped or outcome.compile_cache_warm else warmed_up
    return Record(
        run_id=run.run_id,
        utc=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=run.machine.machine,
        processor=run.machine.processor(cell.device),
        # the cell
        implementation=cell.implementation,
        framework=implementation(cell.implementation).framework,
        backend=cell.backend,
        mode=cell.mode,
        model=cell.model,
        workload=cast(Workload, cell.workload),
        device=cell.device,
        precision=cell.precision,
        batch_size=cell.batch_size,
        optimizer=cell.optimizer,
        recipe=cell.recipe,
        weights=cell.weights,
        learning_rate=cell.learning_rate,
        schedule=cell.schedule,
        weight_decay=cell.weight_decay,
        label_smoothing=cell.label_smoothing,
        dataset=cell.dataset,
        seed=cell.seed,
        steps=cell.steps,
        threads=cell.threads,
        input=cell.input,
        target_accuracy=cell.target_accuracy,
        evaluate_every=cell.evaluate_every,
        streams=cell.streams,
        world_size=cell.world_size,
        batch_norm=cell.batch_norm,
        replicate=replicate,
        cohort=outcome.cohort,
        compile_cache_warm=outcome.compile_cache_warm,
        # its end
        status=status,
        reason=reason,
        certificate_float64=certificate.float64.verdict if certificate else None,
        certificate_timed=certificate.timed.verdict if certificate else None,
        # the build
        import_s=alone.import_s if alone else None,
        build_s=alone.build_s if alone else None,
        host_baseline_mib=built.host_baseline_mib if built else None,
        gflop_per_image=built.gflop_per_image if built else None,
        weights_sha256=built.weights_sha256 if built else None,
        data_sha256=fed or (built.data_sha256 if built else None),
        drawn_seed=built.drawn_seed if built else None,
        versions=built.versions if built else {},
        # the warm-up
        first_step_s=warmed.first_step_s if warmed else None,
        warmup_s=warmed.warmup_s if warmed else None,
        warmup_steps=warmed_up.warmup_steps if warmed_up else None,
        settings=settings,
        request_s=dict(outcome.request_s),
        # the blocks
        block_steps=tuple(block.steps for block in blocks),
        block_s=tuple(block.timed.block_s for block in blocks),
        block_own_cores=_known(block.around.own_cores for block in blocks),
        block_other_cores=_known(block.around.other_cores for block in blocks),
        block_stolen_cores=_known(block.around.stolen_cores for block in blocks),
        block_host_mib=tuple(block.timed.host_mib for block in blocks),
        block_device_mib=_known(block.timed.device_mib for block in blocks),
        block_j=_known(block.around.energy_j for block in blocks),
        block_wait_s=_known(block.timed.wait_s for block in blocks),
        block_place_s=_known(block.timed.place_s for block in blocks),
        steady=outcome.steady,
        # the way to a target accuracy
        accuracies=approach.accuracies if approach else (),
        evaluation_s=approach.evaluation_s if approach else None,
        reached_steps=approach.steps if approach and approach.reached else None,
        reached_train_s=approach.train_s if approach and approach.reached else None,
        # what the steps led to
        losses=finished.losses if finished else (),
        final_loss=finished.final_loss if finished else None,
        saved_weights=_in_folder(outcome.weights_file),
        test_accuracy=finished.test_accuracy if finished else None,
        host_peak_mib=peaks.host_peak_mib if peaks else None,
        device_peak_mib=peaks.device_peak_mib if peaks else None,
        device_reserved_mib=finished.device_reserved_mib if finished else None,
        device_program_mib=finished.device_program_mib if finished else None,
        compilations_while_timed=finished.compilations_while_timed if finished else None,
        latency_ms=outcome.latency_ms,
        communication_share=outcome.communication_share,
        # the machine meanwhile
        load_1min=state.load_1min,
        cpu_mhz=state.cpu_mhz,
        gpu_mhz=state.gpu_mhz,
        temperature_c=state.temperature_c,
        throttled=state.throttled,
        device_process_mib=state.device_process_mib,
        power_capped_s=state.power_capped_s,
    )


def _settings(cell: Cell, outcome: Outcome) -> dict[str, str]:
    """What was read back, with the variables that reached the worker; empty where nothing was."""
    read = outcome.warmed_up.settings if outcome.warmed_up else {}
    variables = stated(Environment.of(cell).users()) if read else ""
    told = " ".join(filter(None, (variables, read.get("environment"))))
    return read | {"environment": told} if told else read


def _status(
    outcome: Outcome, certificate: Certificate | None, contradictions: Sequence[str]
) -> tuple[Status, str | None]:
    """The end of a task; what was measured of an executable whose certificate failed, or that was
    not what its label says, is kept, as `uncertified`.
    """
    halves = {"float64": certificate.float64, "timed": certificate.timed} if certificate else {}
    failed = [f"{name}: {half.verdict}" for name, half in halves.items() if not half.passed]
    failed += contradictions
    if failed and outcome.status in ("ok", "uncertified"):  # the latter by its audit
        reasons = [outcome.reason, *failed]
        return "uncertified", "; ".join(reason for reason in reasons if reason)
    return outcome.status, outcome.reason


def _in_folder(weights_file: Path | None) -> str | None:
    """`weights/NAME.safetensors`, as it is found from the folder of the run."""
    return f"{weights_file.parent.name}/{weights_file.name}" if weights_file else None


def _known(values: Iterable[float | None]) -> tuple[float, ...]:
    """The values of all blocks; none where one is unknown."""
    every = tuple(values)
    known = tuple(value for value in every if value is not None)
    return known if len(known) == len(every) else ()
