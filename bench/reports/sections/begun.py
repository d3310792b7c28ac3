"""When each run began, by which code, and in how many processes, as far as that is known."""

from bench.records import Run
from bench.reports.report import Report
from bench.reports.text import escape
from bench.request.installed import OTHER_KERAS, SLOW_TO_BUILD, left_out
from bench.words import plural

KERAS = """\
Of Keras' three APIs a run that names no implementation takes the functional one; `--impl all` takes
all three. They compute the same and mostly tie, but on PyTorch a subclass infers 1.2 to 1.3 times
as fast."""
EXPORTED = """\
A short run that names no implementation leaves out `torch_export` (AOTInductor), which compiles C++
for most of a minute in each process; `--impl all` and the profiles from `standard` on take it."""


def section(report: Report) -> str:
    """A line below the title; of several runs a list of those of which something is known."""
    absent = {name for run in report.runs for name in left_out(run.options)}
    present = {record.implementation for record in report.records}
    parts = [_lines(report)]
    if absent & set(OTHER_KERAS) - present:
        parts.append(KERAS)
    if absent & set(SLOW_TO_BUILD) - present:
        parts.append(EXPORTED)
    return "\n\n".join(filter(None, parts))


def _lines(report: Report) -> str:
    known = [(run.run_id, ", ".join(_circumstances(run))) for run in report.runs]
    if len(known) == 1:
        text = known[0][1]
        return escape(text[:1].upper() + text[1:])
    return "\n".join(f"- {escape(name)}: {escape(text)}" for name, text in known if text)


def _circumstances(run: Run) -> list[str]:
    parts = []
    if run.utc:
        parts.append(f"begun {run.utc[:16].replace('T', ' ')} UTC")
    if run.code_version:
        parts.append(f"resnet-bench {run.code_version}")
    if run.shard:
        parts.append(f"shard {run.shard.name} of plan {run.shard.plan[:8]}")
    if run.options.replicates:
        least = "at least " if run.options.precision_target or run.budget_s else ""
        parts.append(f"{least}{plural(run.options.replicates, 'process')} per cell")
    if run.locked is False:
        parts.append("without the lock that keeps other measurements on the machine away")
    return parts
