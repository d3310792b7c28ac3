"""How to install what a run had, and the commands that measure the runs of a report again."""

import shlex

from bench.records import Run
from bench.reports.report import Report
from bench.reports.text import code
from bench.request.installed import EXTRAS

# Options that a run fills in by its profile and machine
FILLED = ("device", "threads", "batch_size", "steps", "replicates")
PYTORCH = "https://download.pytorch.org/whl/"  # has builds that the usual index does not


def section(report: Report) -> str:
    """A block of shell."""
    known = any(run.packages for run in report.runs)
    where = "`constraints.txt` is in the folder of the run.\n\n" if known else ""
    return f"## Repeat it\n\n{where}" + code("\n".join(commands(report)))


def commands(report: Report) -> list[str]:
    """Lines of shell: for each run its installation, where that is known, and its command."""
    return [line for run in report.runs for line in (*_installation(run, report), _command(run))]


def _installation(run: Run, report: Report) -> list[str]:
    """A virtual environment with the packages of a run."""
    if not run.packages:
        return []
    backends = {r.backend for r in report.records if r.run_id == run.run_id and r.status == "ok"}
    extras = ",".join(name for name in EXTRAS if name in backends)
    extras = f"[{extras}]" if extras else ""
    commit = (run.commit or "").removesuffix("-dirty")
    what = f"--editable '.{extras}'" if commit else f"'resnet-bench{extras}=={run.resnet_bench}'"
    build = run.packages.get("torch", "").partition("+")[2]
    index = f"--extra-index-url {shlex.quote(PYTORCH + build)} " if build else ""
    python = ".".join((run.machine.python or "3").split(".")[:2])
    changed = "  # the code was changed since" if run.commit != commit else ""
    return [
        *([f"git checkout {shlex.quote(commit)}{changed}"] if commit else []),
        f"python{python} -m venv .venv",
        f".venv/bin/pip install --constraint constraints.txt {index}{what}",
        ". .venv/bin/activate",
    ]


def _command(run: Run) -> str:
    """The command of a run, and as a comment what it left to this version and machine."""
    if run.options.also:  # the options of several matrices are no comment
        return f"{run.command}  # or: resnet-bench run --config run.json"
    filled = []
    for name in FILLED if run.options.impl_named else ("impl", *FILLED):
        flag, value = f"--{name.replace('_', '-')}", getattr(run.options, name)
        if name == "steps" and "train-to" in (run.options.workload or ()):
            continue  # its cells have a cap of their own
        if value is not None and flag not in run.command:  # also of pytest, which quotes it
            values = value if isinstance(value, tuple) else (value,)
            filled.append(f"{flag} {' '.join(shlex.quote(str(each)) for each in values)}")
    return f"{run.command}  # there: {' '.join(filled)}" if filled else run.command
