"""What a run was asked for, as the tables of a suite."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bench.cells import BUILT_IN
from bench.records.run import Run
from bench.request.request import Request
from bench.request.suite import Table

MATRIX = (
    *("impl", "model", "workload", "device", "precision", "mode", "batch_size", "optimizer"),
    *("weight_decay", "recipe", "schedule", "label_smoothing"),
    *("dataset", "seed", "load_weights", "threads"),
)


def of_run(run: Run) -> tuple[Table, list[Table]]:
    """What a run was asked for with all that was filled in: shared options, and its matrices.

    A run with a budget has the budget, and not the steps and processes that fitted into it.
    """
    asked = run.options
    shared: dict[str, Any] = {"certify": asked.certify, "save-weights": asked.save_weights}
    if any(each.all_modes for each in asked.matrices):
        shared["profile"] = "full"
    if asked.remeasure_busy:
        shared["remeasure-busy"] = asked.remeasure_busy
    if asked.share_compile_cache:
        shared["share-compile-cache"] = True
    if run.budget_s:
        shared["budget"] = f"{run.budget_s:.0f}s"
    else:
        for name in ("replicates", "precision_target", "max_replicates"):
            shared[name.replace("_", "-")] = getattr(asked, name)
    matrices: list[Table] = []
    for each in asked.matrices:
        workloads = each.workload or ()
        others = tuple(name for name in workloads if name != "train-to")
        if "train-to" in workloads and others and each.cap != each.steps:
            # its steps are those at most, which no other workload shares
            matrices.append(_matrix(replace(each, workload=others), run))
            each = replace(each, workload=("train-to",))
        if each.workload == ("train-to",):
            each = replace(each, steps=each.cap or each.steps)
        matrices.append(_matrix(each, run))
    return _stated(shared), matrices


def _matrix(request: Request, run: Run) -> Table:
    workloads = request.workload or ()
    names = list(MATRIX)
    if not run.budget_s:
        names.append("steps")
    if "infer-streams" in workloads:
        names.append("streams")
    if "train-dp" in workloads:
        names += ["world_size", "batch_norm"]
    if "train+input" in workloads:
        names.append("input")
    if "train-to" in workloads:
        names += ["target_accuracy", "evaluate_every"]
    if request.dataset not in BUILT_IN:
        names.append("data_dir")
    return _stated({name.replace("_", "-"): getattr(request, name) for name in names})


def _stated(table: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in table.items()
        if value is not None
    }
