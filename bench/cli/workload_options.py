"""Options of a single workload: what they are where left out, and where they mean nothing."""

import argparse
from typing import Any

from bench.errors import UsageError
from bench.request.profiles import PROFILES

EVALUATE_EVERY = 10  # steps


def chosen(options: argparse.Namespace) -> dict[str, Any]:
    """What `matrix` takes for train+input and train-to.

    Raises UsageError for an option whose workload was not asked for, and for a target that is
    missing or cannot be reached.
    """
    workloads = options.workload or ()
    target = getattr(options, "target_accuracy", None)
    every = getattr(options, "evaluate_every", None)
    feeds = getattr(options, "input", None)
    if feeds and "train+input" not in workloads:
        raise UsageError("--input is what feeds train+input: add it to --workload, or leave it out")
    if feeds and len(feeds) > len(set(feeds)):
        raise UsageError(f"--input {' '.join(feeds)}: give each name only once")
    if "train-to" in workloads:
        _check_target(options, target)
    else:
        for name, given in (("--target-accuracy", target), ("--evaluate-every", every)):
            if given is not None:
                raise UsageError(
                    f"{name} {given:.4g}: is of train-to alone; add it to --workload, or leave "
                    f"{name} out"
                )
    return {
        "input": feeds or ["native"],
        "target_accuracy": target,
        "evaluate_every": every or EVALUATE_EVERY,
        "cap": options.steps or PROFILES[options.profile].cap,
    }


def _check_target(options: argparse.Namespace, target: float | None) -> None:
    if target is None:
        raise UsageError("--workload train-to needs --target-accuracy, such as 0.97")
    if options.dataset == "synthetic":
        raise UsageError(
            "--dataset synthetic: has no test images that training could help with, only noise; "
            "train-to needs --dataset digits or cifar10"
        )
    if options.steps == 1:
        raise UsageError("--steps 1: train-to evaluates from the second step on; choose 2 or more")
    if options.precision_target:
        raise UsageError(
            "--precision-target is for speeds, and train-to has a time of training: leave one out"
        )
