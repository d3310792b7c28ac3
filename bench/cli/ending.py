"""How `resnet-bench run` ends: its reports, its rankings and its exit code."""

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.resuming import resumable

if TYPE_CHECKING:
    from bench.run.run import Ended


def conclude(ended: "Ended") -> int:
    """Write the reports of a run that has ended, and show its rankings; returns its exit code."""
    try:
        with resumable(ended.folder.path), ended.folder.held() as folder:
            return _conclude(replace(ended, folder=folder))
    except KeyboardInterrupt:
        remedy = f"resnet-bench report {shlex.quote(str(ended.folder.path))}"
        print(f"interrupted before the report was whole; complete it by: {remedy}", file=sys.stderr)
        return 130


def over_budget(ended: "Ended") -> list[str]:
    """Whether a run has kept to its budget until its reports, and why not; nothing without one."""
    budget_s, took_s = ended.folder.run.budget_s, ended.took_s
    if not budget_s or took_s is None:
        return []
    told = f"budget {budget_s:.0f} s: measured within {took_s:.0f} s"
    if took_s <= 1.1 * budget_s:
        return [told]
    why = "processes or certificates took longer than estimated, and each cell has three"
    return [f"{told}, which is more: {why}"]


def _interrupted(path: Path, records: int) -> int:
    """Say how to go on with a run; returns the exit code of an interrupt."""
    remedy = f"resnet-bench run --resume {shlex.quote(str(path))}"
    print(f"interrupted after {records} records; continue with: {remedy}", file=sys.stderr)
    return 130


def _conclude(ended: "Ended") -> int:
    """Write the reports, show the rankings, and say by the exit code how it went."""
    from bench import signals
    from bench.analysis.precision import shortfall, unreached
    from bench.cli.terminal import console
    from bench.records import EXPECTED, manifest
    from bench.reports.formats import terminal
    from bench.reports.report import Report
    from bench.reports.sections import around_blocks
    from bench.reports.write import write_reports
    from bench.request.matrix import named

    folder = ended.folder
    records = folder.records()
    if ended.interrupted and signals.interrupts() > 1:  # nobody wants to wait for a report
        return _interrupted(folder.path, len(records))
    for line in over_budget(ended):
        console().print(line, soft_wrap=True)
    report = Report(records, [folder.run])
    with folder.spending("reports"):
        write_reports(folder.path, report)
    folder.drop_empty_logs()
    if not ended.interrupted:
        manifest.seal(folder.path)
    for table in terminal.tables(report):
        console().print(table)
    if warning := around_blocks.notice(records):
        console().print(warning, soft_wrap=True)
    for standing in unreached(records, folder.run):
        console().print(f"not precise enough: {shortfall(standing)}", soft_wrap=True)
    console().print(f"report: {folder.path / 'report.md'}", soft_wrap=True)
    if ended.interrupted:
        return _interrupted(folder.path, len(records))
    failed = {record.cell for record in records if record.status not in ("ok", *EXPECTED)}
    absent = (record.cell for record in records if record.status in EXPECTED)
    return 1 if failed or named(absent, folder.run.options) else 0
