"""The options of `run` that say what to measure, and the request that they make."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.cells import BUILT_IN, DATASETS, INPUTS, WORKLOADS
from bench.cli.arguments import (
    batch_size,
    executable_arguments,
    fraction,
    natural,
    positive,
    training_of,
)
from bench.errors import UsageError, check_text
from bench.executables import BATCH_NORMS
from bench.request.profiles import EVALUATE_EVERY, PROFILES, STREAMS, WORLD_SIZES
from bench.request.request import Request

MAX_REPLICATES = 30  # processes per cell, where --precision-target asks for more and more


def request_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of everything that a request holds, or a suite of those."""
    executable_arguments(parser)
    parser.set_defaults(parser=parser)  # reads a suite's options, too
    add = parser.add_argument
    add(
        "--config",
        metavar="SUITE",
        help="take options from a suite: a name that `list` shows, a TOML file, or the folder of a "
        "run; those of the command line go before them",
    )
    add(
        "--profile",
        choices=PROFILES,
        default="quick",
        help="how much to measure: steps, batch size and processes per cell (default: quick)",
    )
    add(
        "--workload",
        nargs="+",
        choices=WORKLOADS,
        help="train+input is fed by an input pipeline; train-to trains until --target-accuracy, in "
        "--steps at most; train-dp divides each batch among ranks; infer-streams answers several "
        "requests at once (default: train infer; of what only infers, infer)",
    )
    add(
        "--batch-size",
        nargs="+",
        type=batch_size,
        metavar="N",
        help="images of a step; max finds the largest that fits, for each contender (default: the "
        "profile's)",
    )
    add(
        "--steps",
        type=positive,
        metavar="N",
        help="optimizer steps or forward passes of a cell, warm-up included (default: the "
        "profile's)",
    )
    add(
        "--input",
        nargs="+",
        choices=("native", *INPUTS),
        help="pipelines that feed train+input; native is the backend's own: DataLoader, tf.data, "
        "else NumPy (default: native)",
    )
    add(
        "--streams",
        nargs="+",
        type=positive,
        metavar="N",
        help="requests that infer-streams has under way at once, the CPUs divided among them "
        f"(default: {' '.join(map(str, STREAMS))})",
    )
    add(
        "--world-size",
        nargs="+",
        type=positive,
        metavar="N",
        help="ranks of train-dp, each of which trains on its part of every batch: on a CPU they "
        "share its cores, of GPUs each has one "
        f"(default: {' '.join(map(str, WORLD_SIZES))})",
    )
    add(
        "--batch-norm",
        nargs="+",
        choices=BATCH_NORMS,
        help="whether the batch norms of train-dp are synchronised over the ranks, or each replica "
        "has its own (default: synchronised)",
    )
    add(
        "--target-accuracy",
        type=fraction,
        metavar="A",
        help="the test accuracy that train-to trains to, such as 0.97 or 97%%",
    )
    add(
        "--evaluate-every",
        type=positive,
        metavar="N",
        help=f"steps of train-to between two tests of the accuracy (default: {EVALUATE_EVERY})",
    )
    add(
        "--replicates",
        type=positive,
        metavar="N",
        help="processes that measure each cell (default: the profile's)",
    )
    add(
        "--precision-target",
        type=fraction,
        metavar="P",
        help="add processes until every interval is within, say, 1%% of its value (default: stop "
        "at --replicates)",
    )
    add(
        "--max-replicates",
        type=positive,
        metavar="N",
        help=f"processes per cell at which --precision-target gives up (default: {MAX_REPLICATES})",
    )
    add(
        "--remeasure-busy",
        type=natural,
        metavar="N",
        default=0,
        help="measure a replicate of a contest again, N times at most, where others took much of "
        "the machine; all rows are kept (default: 0)",
    )
    add(
        "--threads",
        nargs="+",
        type=positive,
        metavar="N",
        help="CPUs that a worker may use (default: one for each core)",
    )
    add(
        "--dataset",
        choices=DATASETS,
        default="digits",
        help="images to train on; digits are built in (default: digits)",
    )
    add("--data-dir", type=Path, metavar="DIR", help="folder that holds the dataset")
    add(
        "--seed",
        type=natural,
        metavar="N",
        default=0,
        help="draws weights, batches and the order of measuring (default: 0)",
    )
    add(
        "--load-weights",
        type=Path,
        metavar="FILE",
        help="start from the weights of this file (default: drawn from the seed)",
    )
    add(
        "--save-weights",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="keep the trained weights in the folder of the run",
    )
    add(
        "--share-compile-cache",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="let the later processes of a cell find what its first one compiled; the time of a "
        "first step is then that of the first process alone",
    )
    add(
        "--certify",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="prove implementations identical first; --no-certify measures without proof, and "
        "every row says so (default: --certify)",
    )


def request_of(options: argparse.Namespace) -> Request:
    """What the options ask for, with what they leave open filled in for this machine.

    Raises UsageError for options that contradict each other, or do not go with the workload.
    """
    for name in ("batch_size", "threads", "input", "streams", "world_size", "batch_norm"):
        given = [str(each) for each in getattr(options, name) or ()]
        if len(given) > len(set(given)):
            option = f"--{name.replace('_', '-')} {' '.join(given)}"
            raise UsageError(f"{option}: give each value only once")
    if options.data_dir and options.dataset in BUILT_IN:
        others = ", ".join(name for name in DATASETS if name not in BUILT_IN)
        raise UsageError(f"--data-dir is where a dataset lies: it needs one of --dataset {others}")
    _check_workload_options(options)
    profile = PROFILES[options.profile]
    request = Request(
        impl=_tuple(options.impl),
        mode=_tuple(options.mode),
        model=tuple(options.model),
        workload=_tuple(options.workload),
        device=_tuple(options.device),
        precision=tuple(options.precision),
        batch_size=_tuple(options.batch_size),
        optimizer=tuple(options.optimizer),
        recipe=options.recipe,
        **training_of(options),
        dataset=options.dataset,
        seed=options.seed,
        load_weights=_absolute(options.load_weights),
        steps=options.steps,
        threads=_tuple(options.threads),
        input=_tuple(options.input) or ("native",),
        target_accuracy=options.target_accuracy,
        evaluate_every=options.evaluate_every,
        streams=_tuple(options.streams),
        world_size=_tuple(options.world_size),
        batch_norm=_tuple(options.batch_norm) or ("synchronised",),
        certify=options.certify,
        save_weights=options.save_weights,
        share_compile_cache=options.share_compile_cache,
        replicates=options.replicates,
        precision_target=options.precision_target,
        max_replicates=_most(options, options.replicates or profile.replicates),
        remeasure_busy=options.remeasure_busy,
        data_dir=_absolute(options.data_dir),
    )
    from bench.run.check import filled

    return filled(request, profile)


def _absolute(path: Path | None) -> str | None:
    """A run may be resumed from another folder. Raises UsageError for one that is not UTF-8."""
    if path is None:
        return None
    check_text(str(path.absolute()))
    return str(path.absolute())


def _tuple(values: Sequence[Any] | None) -> tuple[Any, ...] | None:
    return None if values is None else tuple(values)


def _most(options: argparse.Namespace, replicates: int) -> int | None:
    """How many processes per cell at most. Raises UsageError for a cap that caps nothing."""
    target, most = options.precision_target, options.max_replicates
    if most and not target:
        raise UsageError("--max-replicates is the cap of --precision-target: give both, or neither")
    if most and most < replicates:
        raise UsageError(
            f"--max-replicates {most}: each cell has {replicates} processes in any case; raise it, "
            "or lower --replicates"
        )
    return (most or max(MAX_REPLICATES, replicates)) if target else None


def _check_workload_options(options: argparse.Namespace) -> None:
    """Raises UsageError for an option whose workload was not asked for, and for a target that is
    missing or cannot be reached.
    """
    workloads = options.workload or ()
    if options.input and "train+input" not in workloads:
        raise UsageError("--input is what feeds train+input: add it to --workload, or leave it out")
    if options.streams and "infer-streams" not in workloads:
        raise UsageError(
            "--streams is of infer-streams alone: add that to --workload, or leave --streams out"
        )
    for name in ("world_size", "batch_norm"):
        if getattr(options, name) and "train-dp" not in workloads:
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(
                f"{flag} is of train-dp alone: add that to --workload, or leave {flag} out"
            )
    if "train-to" in workloads:
        _check_target(options)
        return
    for name in ("target_accuracy", "evaluate_every"):
        if (given := getattr(options, name)) is not None:
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(
                f"{flag} {given:.4g}: belongs to train-to alone; add that to --workload, or leave "
                f"{flag} out"
            )


def _check_target(options: argparse.Namespace) -> None:
    if options.target_accuracy is None:
        raise UsageError("--workload train-to needs --target-accuracy, such as 0.97")
    if options.dataset == "synthetic":
        raise UsageError(
            "--dataset synthetic: its labels are noise, so no training reaches an accuracy; "
            "train-to needs --dataset digits, cifar10, cifar100 or svhn"
        )
    if options.steps == 1:
        raise UsageError("--steps 1: train-to evaluates from the second step on; choose 2 or more")
    if options.precision_target:
        raise UsageError(
            "--precision-target is for speeds, and train-to has a time of training: leave one out"
        )
