"""`resnet-bench`: what can be asked for, and what is done about it."""

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from bench import __version__
from bench.cells import (
    DATASETS,
    DEVICES,
    MODES,
    OPTIMIZERS,
    PRECISIONS,
    PROFILES,
    WORKLOADS,
    Cell,
    UsageError,
    matrix,
)

# Options of `run` that say which cells to measure, as `matrix` takes them
MATRIX = (
    *("impl", "mode", "model", "workload", "device", "precision", "batch_size", "optimizer"),
    *("dataset", "seed", "steps", "all_modes"),
)

# Ends that are no fault of the run: a row says so, and only a cell asked for by name fails the run
EXPECTED = ("unavailable", "unsupported")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = parser().parse_args(arguments)
    try:
        return COMMANDS[options.command](options)
    except UsageError as error:
        print(f"resnet-bench: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def run(options: argparse.Namespace) -> int:
    """Measure a matrix of cells, or what is left of an interrupted run."""
    from rich.console import Console

    from bench import machine
    from bench.reports import ranking
    from bench.run import measure, shared_data
    from bench.run_folder import RunFolder, check_free
    from bench.terminal import Display

    console = Console(width=None if sys.stdout.isatty() else 120)
    if options.resume:
        folder = RunFolder.open(options.resume)
        asked = folder.run["options"]
    else:
        asked = requested(options)
    cells = requested_cells(asked)
    now = datetime.now(UTC)
    run_id = f"{now:%Y%m%d-%H%M%S}-{options.profile}"
    out = options.out or Path("results") / run_id
    if not options.resume:
        check_free(out)

    data_dir = asked["data_dir"] and Path(asked["data_dir"])
    with shared_data(cells, data_dir) as data_folders:
        if not options.resume:
            description = {
                "schema": 1,
                "run_id": run_id if options.out is None else out.resolve().name,
                "utc": now.isoformat(timespec="seconds"),
                "resnet_bench": __version__,
                "command": shlex.join(["resnet-bench", *sys.argv[1:]]),
                "options": asked,
                "machine": machine.facts(options.machine_name),
            }
            folder = RunFolder.create(out, description)
        folder.drop_cut_off_line()
        done = {(record.cell, record.replicate) for record in folder.records()}
        tasks = [(cell, index) for cell in cells for index in range(asked["replicates"])]
        left = [task for task in tasks if task not in done]
        console.print(
            f"{len(cells)} cells × {asked['replicates']} processes, {len(left)} to measure, "
            f"into {folder.path}",
            soft_wrap=True,
        )
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        interrupted = False
        folder.logs.mkdir(exist_ok=True)
        with Display(left, console) as display:
            records = measure(
                left,
                data_folders,
                run_id=folder.run["run_id"],
                machine_facts=folder.run["machine"],
                logs=folder.logs,
                timeout_s=options.timeout,
                seed=asked["seed"],
                on_turn=display.turn,
            )
            try:
                with closing(records):
                    for record in records:
                        folder.append(record)
                        display.record(record)
            except KeyboardInterrupt:
                interrupted = True
    folder.write_reports()
    rows = folder.records()
    for table in ranking.tables(rows):
        console.print(table)
    console.print(f"report: {folder.path / 'report.md'}", soft_wrap=True)
    if interrupted:
        print(
            f"interrupted after {len(rows)} records; go on by: resnet-bench run --resume "
            f"{shlex.quote(str(folder.path))}",
            file=sys.stderr,
        )
        return 130
    named = "all" not in asked["impl"]
    failed = [r for r in rows if r.status != "ok" and (named or r.status not in EXPECTED)]
    return 1 if failed else 0


def requested(options: argparse.Namespace) -> dict[str, Any]:
    """The options of `run` with what was left open filled in: what `run.json` keeps."""
    from bench import machine

    profile = PROFILES[options.profile]
    asked = {name: getattr(options, name, None) for name in MATRIX}
    asked["device"] = options.device or ["cuda" if machine.gpus() else "cpu"]
    asked["steps"] = options.steps or profile.steps
    asked["all_modes"] = profile.all_modes
    asked["replicates"] = options.replicates or profile.replicates
    asked["data_dir"] = options.data_dir and str(options.data_dir.absolute())
    if options.data_dir and options.dataset != "cifar10":
        raise UsageError("--data-dir is where CIFAR-10 lies: it needs --dataset cifar10")
    return asked


def requested_cells(asked: Mapping[str, Any]) -> list[Cell]:
    """The cells that `asked` describes. Raises UsageError where this machine cannot take them."""
    from bench import machine

    if "cuda" in asked["device"] and not machine.gpus():
        raise UsageError("--device cuda: this machine shows no NVIDIA GPU; use --device cpu")
    return matrix(**{name: asked[name] for name in MATRIX})


def report(options: argparse.Namespace) -> int:
    """Derive the reports of runs again, of each or of all merged."""
    from bench.run_folder import RunFolder, check_free, write_reports

    folders = [RunFolder.open(path) for path in options.folders]
    rows = [record for folder in folders for record in folder.records()]
    runs = [folder.run for folder in folders]
    if not rows:
        raise UsageError(f"{', '.join(map(str, options.folders))}: no records yet")
    if options.out:
        check_free(options.out)
        options.out.mkdir(parents=True, exist_ok=True)
        write_reports(options.out, rows, runs)
    else:
        for folder in folders:
            folder.write_reports()
    from bench.reports import markdown

    print(markdown.render(rows, runs), end="")
    return 0


def list_catalogue(options: argparse.Namespace) -> int:
    """Show the implementations and the models."""
    from rich.console import Console

    from bench.terminal import catalogue_table
    from resnet_impls.architecture import ARCHITECTURES

    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(catalogue_table())
    console.print("models: " + ", ".join(ARCHITECTURES), soft_wrap=True)
    return 0


def show_machine(options: argparse.Namespace) -> int:
    """Show the facts about this machine that every run keeps, as JSON."""
    import json

    from bench import machine

    print(json.dumps(machine.facts(options.machine_name), indent=2))
    return 0


COMMANDS = {"list": list_catalogue, "run": run, "report": report, "machine": show_machine}


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line that says what is wrong; the usage is a `--help` away."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def positive(text: str) -> int:
    """A whole number above 0."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return number


def natural(text: str) -> int:
    """A whole number, 0 or above."""
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 0 or above")
    return number


def seconds(text: str) -> float:
    """A finite number of seconds above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return number


def parser() -> argparse.ArgumentParser:
    """The command line of `resnet-bench`."""
    top = Parser(
        prog="resnet-bench",
        description="Compare deep-learning frameworks and hardware on one ResNet, side by side.",
    )
    top.add_argument("--version", action="version", version=f"resnet-bench {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    commands.add_parser("list", help="show the implementations and models")

    add = commands.add_parser("run", help="measure, and write a report").add_argument
    add("--profile", choices=PROFILES, default="quick", help="how much to measure (quick)")
    add("--impl", nargs="+", metavar="NAME", default=["all"], help=IMPL_HELP)
    add("--model", nargs="+", metavar="MODEL", default=["resnet14"], help="see `list` (resnet14)")
    add("--workload", nargs="+", choices=WORKLOADS, default=list(WORKLOADS), help="(both)")
    add("--device", nargs="+", choices=DEVICES, help="(cuda where there is a GPU, else cpu)")
    add("--precision", nargs="+", choices=PRECISIONS, default=["fp32"], help="(fp32)")
    add("--mode", nargs="+", choices=MODES, help="(each backend's first in `list`)")
    add("--batch-size", nargs="+", type=positive, metavar="N", default=[64], help="(64)")
    add("--optimizer", nargs="+", choices=OPTIMIZERS, default=["adam"], help="(adam)")
    add("--steps", type=positive, metavar="N", help="steps of a cell, warm-up included (profile's)")
    add("--replicates", type=positive, metavar="N", help="processes per cell (profile's)")
    add("--dataset", choices=DATASETS, default="digits", help="(digits, which is built in)")
    add("--data-dir", type=Path, metavar="DIR", help="folder that holds CIFAR-10")
    add("--seed", type=natural, metavar="N", default=0, help="of weights, batches and order (0)")
    add("--out", type=Path, metavar="DIR", help="folder of this run (results/<run_id>)")
    add("--resume", type=Path, metavar="DIR", help="measure what is missing of an earlier run")
    add(
        "--timeout", type=seconds, metavar="S", default=600.0, help="longest turn of a worker (600)"
    )
    add("--machine-name", metavar="NAME", help="name of this machine in the records (host name)")

    add = commands.add_parser("report", help="derive the reports of runs again").add_argument
    add("folders", nargs="+", type=Path, metavar="DIR", help="a run's folder")
    add("--out", type=Path, metavar="DIR", help="write the runs' merged reports here")

    add = commands.add_parser("machine", help="show what this machine is, as JSON").add_argument
    add("--machine-name", metavar="NAME", help="name to show instead of the host's")
    return top


IMPL_HELP = (
    "implementations: a name of `list`, one of its backends as in keras_functional[jax], the path "
    "of a Python file that ends with a class Implementation, or all (all)"
)
