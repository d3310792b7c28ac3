"""The grammar of the command line, and the matrix of cells that its words ask for."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from bench import __version__
from bench.cells import (
    DATASETS,
    DEVICES,
    LARGEST,
    MODES,
    OPTIMIZERS,
    PRECISIONS,
    RECIPES,
    WORKLOADS,
    Cell,
)
from bench.cli import workload_options
from bench.cli.arguments import batch_size, fraction, limit, natural, positive, seconds
from bench.errors import UsageError
from bench.machine import cpus
from bench.request.matrix import matrix
from bench.request.profiles import PROFILES

# Options of `run` that say which cells to measure, as `matrix` takes them
MATRIX = (
    *("impl", "mode", "model", "workload", "device", "precision", "batch_size", "optimizer"),
    *("recipe", "dataset", "seed", "load_weights", "steps", "threads", "all_modes"),
    *("input", "target_accuracy", "evaluate_every", "cap"),
)
MAX_REPLICATES = 30  # processes per cell, where --precision-target asks for more and more


def requested(options: argparse.Namespace) -> dict[str, Any]:
    """The options of `run` with what was left open filled in: what `run.json` keeps."""
    from bench.machine import facts as machine

    profile = PROFILES[options.profile]
    asked = {name: getattr(options, name, None) for name in MATRIX}
    devices = asked["device"] = options.device or ["cuda" if machine.gpus() else "cpu"]
    load = profile.load(devices, options.model)
    asked["steps"] = options.steps or load.steps
    asked["batch_size"] = options.batch_size or [load.batch_size]
    asked["threads"] = options.threads or [cpus.cores()]
    for name in ("batch_size", "threads"):
        given = [str(each) for each in asked[name] or ()]
        if len(given) > len(set(given)):
            option = f"--{name.replace('_', '-')} {' '.join(given)}"
            raise UsageError(f"{option}: give each number only once")
    asked |= workload_options.chosen(options)
    asked["all_modes"] = profile.all_modes
    asked["certify"] = not options.no_certify
    asked["load_weights"] = options.load_weights and str(options.load_weights.absolute())
    asked["save_weights"] = options.save_weights
    replicates = options.replicates or profile.replicates
    asked |= {"replicates": replicates} | _precision(options, replicates)
    asked["data_dir"] = options.data_dir and str(options.data_dir.absolute())
    if options.data_dir and options.dataset != "cifar10":
        raise UsageError("--data-dir is where CIFAR-10 lies: it needs --dataset cifar10")
    return asked


def _precision(options: argparse.Namespace, replicates: int) -> dict[str, Any]:
    """When to stop adding processes. Raises UsageError where its cap has nothing to cap."""
    target, most = options.precision_target, options.max_replicates
    if most and not target:
        raise UsageError("--max-replicates is the cap of --precision-target: give both, or neither")
    if most and most < replicates:
        raise UsageError(
            f"--max-replicates {most}: each cell has {replicates} processes in any case; raise it, "
            "or lower --replicates"
        )
    return {
        "precision_target": target,
        "max_replicates": target and (most or max(MAX_REPLICATES, replicates)),
    }


def requested_cells(asked: Mapping[str, Any]) -> list[Cell]:
    """The cells that `asked` describes. Raises UsageError where this machine cannot take them."""
    from bench.machine import facts as machine

    if "cuda" in asked["device"] and not machine.gpus():
        raise UsageError("--device cuda: this machine shows no NVIDIA GPU; use --device cpu")
    cpus.check(asked.get("threads") or [])
    # a run of an earlier version may not know every option
    choices = {name: asked[name] for name in MATRIX if name in asked}
    sizes = [LARGEST if size == "max" else size for size in asked["batch_size"]]
    return matrix(**choices | {"batch_size": sizes})


def described_cells(options: argparse.Namespace) -> list[Cell]:
    """The cells whose networks `describe` has built: on the CPU, each in its default mode."""
    return matrix(
        impl=options.impl,
        mode=None,
        model=[options.model],
        workload=["infer"],  # which all can do
        device=["cpu"],
        precision=["fp32"],
        batch_size=[1],
        optimizer=["sgd"],
        dataset="synthetic",
        seed=0,
        steps=1,
    )


def check_resumable(options: argparse.Namespace) -> None:
    """Raises UsageError where options would change what an earlier run was asked for."""
    bare = vars(parser().parse_args(["run", "--resume", str(options.resume)]))
    given = [name for name, value in vars(options).items() if value != bare[name]]
    given = [f"--{name.replace('_', '-')}" for name in given if name != "timeout"]
    if given:
        raise UsageError(
            f"--resume goes on with what the run was asked for: leave out {', '.join(given)}"
        )


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line that says what is wrong; the usage is a `--help` away."""
        raise UsageError(f"{message} (see {self.prog} --help)")


def parser() -> argparse.ArgumentParser:
    """The command line of `resnet-bench`."""
    top = Parser(
        prog="resnet-bench",
        description="Compare deep-learning frameworks and hardware on one ResNet, side by side.",
    )
    top.add_argument("--version", action="version", version=f"resnet-bench {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    commands.add_parser("list", help="show the implementations and models")

    executables = Parser(add_help=False)
    add = executables.add_argument
    add("--impl", nargs="+", metavar="NAME", default=["all"], help=f"{IMPL_HELP} (all)")
    add("--model", nargs="+", metavar="MODEL", default=["resnet14"], help="see `list` (resnet14)")
    add("--device", nargs="+", choices=DEVICES, help="(cuda where there is a GPU, else cpu)")
    add("--precision", nargs="+", choices=PRECISIONS, default=["fp32"], help="(fp32)")
    add("--mode", nargs="+", choices=MODES, help="(each backend's first in `list`)")
    add("--optimizer", nargs="+", choices=OPTIMIZERS, default=["adam"], help="(adam)")
    add("--recipe", choices=RECIPES, default="constant", help=RECIPE_HELP)
    add(
        "--timeout", type=seconds, metavar="S", default=600.0, help="longest turn of a worker (600)"
    )

    run = commands.add_parser("run", parents=[executables], help="measure, and write a report")
    add = run.add_argument
    add("--profile", choices=PROFILES, default="quick", help="how much to measure (quick)")
    add("--workload", nargs="+", choices=WORKLOADS, help=WORKLOAD_HELP)
    add("--batch-size", nargs="+", type=batch_size, metavar="N", help=BATCH_HELP)
    add("--steps", type=positive, metavar="N", help="steps of a cell, warm-up included (profile's)")
    add("--input", nargs="+", choices=("native", *INPUTS), help=INPUT_HELP)
    add("--target-accuracy", type=fraction, metavar="A", help="what train-to trains to, as 0.97")
    add("--evaluate-every", type=positive, metavar="N", help="steps of train-to between tests (10)")
    add("--replicates", type=positive, metavar="N", help="processes per cell (profile's)")
    add("--precision-target", type=fraction, metavar="P", help=PRECISION_HELP)
    add("--max-replicates", type=positive, metavar="N", help=f"its cap ({MAX_REPLICATES})")
    add("--threads", nargs="+", type=positive, metavar="N", help="CPUs of a worker (one per core)")
    add("--dataset", choices=DATASETS, default="digits", help="(digits, which is built in)")
    add("--data-dir", type=Path, metavar="DIR", help="folder that holds CIFAR-10")
    add("--seed", type=natural, metavar="N", default=0, help="of weights, batches and order (0)")
    add("--load-weights", type=Path, metavar="FILE", help="start from these (drawn from the seed)")
    add("--save-weights", action="store_true", help="keep trained weights, in the run's folder")
    add("--out", type=Path, metavar="DIR", help="folder of this run (results/<run_id>)")
    add("--resume", type=Path, metavar="DIR", help="measure what is missing of an earlier run")
    add("--no-certify", action="store_true", help="measure without proof of identity; rows say so")
    add("--machine-name", metavar="NAME", help="name of this machine in the records (host name)")

    certify = commands.add_parser(
        "certify",
        parents=[executables],
        help="prove implementations identical to the reference, anew",
    )
    certify.add_argument("--out", type=Path, metavar="FILE", help="write them as a Markdown table")
    # Of what `run` would measure, nothing of this changes the executable.
    certify.set_defaults(profile="quick", workload=["train"], batch_size=[64], dataset="digits")
    certify.set_defaults(load_weights=None, save_weights=False, threads=None)
    certify.set_defaults(seed=0, steps=None, replicates=None, data_dir=None, no_certify=False)
    certify.set_defaults(precision_target=None, max_replicates=None)

    describe = commands.add_parser("describe", help="show a model's layers, or how each built it")
    add = describe.add_argument
    add("model", metavar="MODEL", help="see `list`")
    add("--impl", nargs="+", metavar="NAME", help=f"build side by side these {IMPL_HELP}")

    add = commands.add_parser("report", help="derive the reports of runs again").add_argument
    add("folders", nargs="+", type=Path, metavar="DIR", help="a run, or a folder of runs to index")
    add("--out", type=Path, metavar="DIR", help="write the runs' merged reports here")
    add("--plots", action="store_true", help="all plots as SVG and PNG files too, in plots/")
    add("--baseline", metavar="MACHINE", help="that others are held against (the first given)")
    add("--machines", type=Path, metavar="FILE", help="price and power of machines, as TOML")

    compare = commands.add_parser("compare", help="compare runs with a base, as a gate if you like")
    add = compare.add_argument
    add("base", type=Path, metavar="BASE", help="a run's folder, a folder of those, or their rows")
    add("new", nargs="+", type=Path, metavar="NEW", help="each is compared with BASE")
    add("--control", metavar="NAME", help=CONTROL_HELP)
    add(
        "--fail-if", nargs="+", action="extend", type=limit, default=[], metavar="L", help=FAIL_HELP
    )
    add("--out", type=Path, metavar="FILE", help="write the comparison there too")

    doctor = commands.add_parser("doctor", help="plant faults, and see that they are caught")
    add = doctor.add_argument
    add("--aa", action="store_true", help="measure the noise floor instead; runs take it over")
    add("--impl", metavar="NAME", help="what --aa compares with itself (torch_module)")
    add("--device", choices=DEVICES, help="where --aa does (cuda where there is a GPU, else cpu)")

    add = commands.add_parser("machine", help="show what this machine is, as JSON").add_argument
    add("--peaks", action="store_true", help="and its peak rates, measured now for some seconds")
    add("--machine-name", metavar="NAME", help="name to show instead of the host's")
    return top


FAIL_HELP = (
    "slower=3%%, memory=5%% or accuracy=1pt: exit code 1 where a cell is surely worse, and by more"
)
CONTROL_HELP = (
    "an implementation that did not change and ran beside the others in BASE and NEW: speeds are "
    "held against its, so that what the machine did between the runs cancels"
)
WORKLOAD_HELP = (
    "train+input: fed by an input pipeline; train-to: until --target-accuracy, in --steps at most "
    "(train infer; what only infers: infer)"
)
INPUT_HELP = (
    "pipelines of train+input; native: DataLoader, tf.data, else NumPy, by backend (native)"
)
PRECISION_HELP = (
    "go on with more processes until every interval is within, say, 1%% of its value (stop at the "
    "profile's)"
)
RECIPE_HELP = (
    "how training goes: constant learning rate (the default), or article: divided by 3 after each "
    "quarter of the steps, over randomly moved and mirrored images"
)
BATCH_HELP = "numbers, or max: the largest that fits, searched for each contender (profile's)"
IMPL_HELP = (
    "implementations: a name of `list`, one of its backends as in keras_functional[jax], the path "
    "of a Python file that ends with a class Implementation, or all"
)
