"""`resnet-bench list`: what there is to measure."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Offer:
    """An implementation on one backend; `name` is what `--impl` takes."""

    name: str
    workloads: Sequence[str]
    modes: Sequence[str]  # the default first
    precisions: Sequence[str]
    devices: Sequence[str]
    packages: Mapping[str, str | None]  # that it needs -> installed version; null: absent


@dataclass(frozen=True)
class Listed:
    """What `list --json` prints, by results/list.schema.json."""

    implementations: Sequence[Offer]
    models: Sequence[str]
    optimizers: Sequence[str]
    schedules: Sequence[str]  # of the learning rate
    suites: Mapping[str, str]  # name -> what it measures
    untried_devices: Sequence[str]  # that this project has not run on yet


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The form; it shows everything."""
    parser.add_argument("--json", action="store_true", help="print it as JSON, for programs")


def run(options: argparse.Namespace) -> int:
    """Show every implementation and backend with what it offers, the models and the suites."""
    listed = _listed()
    if options.json:
        import json

        from bench.validation import plain

        print(json.dumps(plain(listed), indent=2))
    else:
        _show(listed)
    return 0


def _listed() -> Listed:
    from bench.executables import OPTIMIZERS, SCHEDULES
    from bench.machine.devices import DEVICES
    from bench.request.suite import ready
    from resnet_impls.architecture import ARCHITECTURES

    suites = {name: suite.description for name, suite in ready().items()}
    untried = [name for name, row in DEVICES.items() if not row.tried]
    trainings = list(OPTIMIZERS), list(SCHEDULES)
    return Listed(list(_offers()), list(ARCHITECTURES), *trainings, suites, untried)


def _offers() -> Iterator[Offer]:
    from bench.obstacles import installed
    from resnet_impls.catalogue import CATALOGUE

    for row in CATALOGUE.values():
        for backend in row.backends:
            yield Offer(
                name=row.name + (f"[{backend.name}]" if len(row.backends) > 1 else ""),
                workloads=row.workloads_on(backend),
                modes=backend.modes,
                precisions=backend.precisions,
                devices=backend.devices,
                packages={package: installed(package) for package in backend.packages},
            )


def _show(listed: Listed) -> None:
    from rich.text import Text

    from bench.cli.terminal import console
    from bench.reports.formats.plain_table import plain_table

    table = plain_table()
    for name in ("implementation", "workloads", "modes", "precisions", "devices"):
        table.add_column(name, no_wrap=True)
    table.add_column("installed")
    for each in listed.implementations:
        missing = [package for package, version in each.packages.items() if version is None]
        table.add_row(
            Text(each.name),
            " ".join(each.workloads),
            " ".join(each.modes),
            " ".join(each.precisions),
            " ".join(each.devices),
            f"no: {' '.join(missing)}"
            if missing
            else " ".join(f"{package} {version}" for package, version in each.packages.items()),
        )
    console().print(table)
    console().print("models: " + ", ".join(listed.models), soft_wrap=True)
    trainings = f"{', '.join(listed.optimizers)}; schedules: {', '.join(listed.schedules)}"
    console().print(f"optimizers: {trainings}", soft_wrap=True)
    untried = ", ".join(listed.untried_devices)
    console().print(f"devices not yet run by the project: {untried}", soft_wrap=True)
    for name, description in listed.suites.items():
        console().print(f"suite {name}: {description}", soft_wrap=True)
