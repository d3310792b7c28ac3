"""`resnet-bench list`: what there is to measure."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None: it shows everything."""


def run(options: argparse.Namespace) -> int:
    """Show every implementation and backend with what it offers, the models and the suites."""
    from rich.text import Text

    from bench.cells import installed
    from bench.cli.terminal import console
    from bench.machine.devices import DEVICES
    from bench.reports.formats.plain_table import plain_table
    from bench.request.suite import ready
    from resnet_impls.architecture import ARCHITECTURES
    from resnet_impls.catalogue import CATALOGUE

    table = plain_table()
    for name in ("implementation", "workloads", "modes", "precisions", "devices"):
        table.add_column(name, no_wrap=True)
    table.add_column("installed")
    for row in CATALOGUE.values():
        for backend in row.backends:
            versions = {package: installed(package) for package in backend.packages}
            missing = [package for package, version in versions.items() if version is None]
            table.add_row(
                Text(row.name + (f"[{backend.name}]" if len(row.backends) > 1 else "")),
                " ".join(row.workloads),
                " ".join(backend.modes),
                " ".join(backend.precisions),
                " ".join(backend.devices),
                f"no: {' '.join(missing)}"
                if missing
                else " ".join(f"{package} {version}" for package, version in versions.items()),
            )
    console().print(table)
    console().print("models: " + ", ".join(ARCHITECTURES), soft_wrap=True)
    untried = [name for name, row in DEVICES.items() if not row.tried]
    console().print("devices not yet run by the project: " + ", ".join(untried), soft_wrap=True)
    for name, suite in ready().items():
        console().print(f"suite {name}: {suite.description}", soft_wrap=True)
    return 0
