"""`resnet-bench report`: the reports of runs made again, of each or merged; an index of many."""

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from bench.cli.reported import altered_since, check_baseline, conclude
from bench.errors import UsageError
from bench.files import write
from bench.records import manifest
from bench.records.finding import SIGNS, Found, Source, filled, look
from bench.records.folder import check_free
from bench.records.merging import merge
from bench.records.shards import check_one_plan, united

if TYPE_CHECKING:  # imported where it is used, so that `--help` answers at once
    from bench.reports.formats import index
    from bench.reports.report import Report

EXPORTS = ("bencher", "github-action-benchmark", "parquet", "pytest-benchmark")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which runs, and what is made of them."""
    add = parser.add_argument
    add(
        "folders",
        nargs="+",
        type=Path,
        metavar="DIR",
        help="a run, or a folder whose runs get their reports again and an index",
    )
    add(
        "--out",
        type=Path,
        metavar="PLACE",
        help="write the merged reports of all runs here, or the file of --export, and nothing "
        "elsewhere",
    )
    add(
        "--history",
        action="store_true",
        help="write history.md and history.html: each contender's speed over many runs, and where "
        "it has changed",
    )
    add(
        "--control",
        metavar="NAME",
        help="with --history: an implementation that did not change and ran beside the others",
    )
    add(
        "--by",
        choices=("date", "version", "commit"),
        help="with --history: what runs are ordered and named by; version is that of each "
        "contender's framework (default: date)",
    )
    add(
        "--export",
        choices=EXPORTS,
        help="write all runs in the format of another program to the file --out, and nothing else",
    )
    add(
        "--plots",
        action="store_true",
        help="write all plots as SVG and PNG files too, into the folder plots/",
    )
    add(
        "--baseline",
        metavar="MACHINE",
        help="machine or processor to hold all others against (default: the first given)",
    )
    add(
        "--machines",
        type=Path,
        metavar="FILE",
        help="TOML file of the price and power of machines, for images per price and per joule",
    )


def run(options: argparse.Namespace) -> int:
    """Write reports again; returns 1 where a run below a folder cannot be read."""
    from bench.cli import fleet
    from bench.cli.history import write_history
    from bench.reports.exports import export
    from bench.reports.formats import markdown
    from bench.run.here import differences

    looked = [look(path) for path in options.folders]
    if fleet.is_fleet(options, looked):
        return fleet.run(options, looked)
    found = [filled(each) for each in looked]
    check_one_plan(folder.run for each in found if each.alone for folder, _ in each.runs)
    if options.history:
        write_history(options, [run for each in found for run in each.runs])
        left = [reason for each in found for reason in each.unreadable.values()]
        for reason in left:
            print(f"resnet-bench: left out {reason}", file=sys.stderr)
        return 1 if left else 0
    if options.control or options.by:
        raise UsageError("--control and --by are of a history: add --history, or leave them out")
    merged = _together(source for each in found for source in each.sources)
    if not merged.records and all(each.alone for each in found):
        raise UsageError(f"{', '.join(map(str, options.folders))}: no records yet")
    altered = [line for each in found for folder, _ in each.runs for line in altered_since(folder)]
    every = _annotated(merged, options)
    left_out = {path: reason for each in found for path, reason in each.unreadable.items()}
    if options.export:
        if not options.out:
            raise UsageError(f"--export {options.export}: give the file to write by --out FILE")
        print(f"written: {export(every, options.export, options.out)}")
        shown = [every]
    elif options.out:
        also = [f"{path} was left out, since it cannot be read" for path in left_out]
        every = replace(every, remarks=[*every.remarks, *altered, *also])
        _write_merged(options.out, every, options.plots)
        print(markdown.render(every), end="")
        shown = [every]
    else:
        shown = [report for each in found for report in _rewrite(each, every, options.plots)]
        alone = [source for each in found if each.alone for source in each.sources]
        if len(alone) == len(found) == 1:
            print((found[0].path / "report.md").read_text(encoding="utf-8"), end="")
            if other := [line for source in found[0].sources for line in differences(*source)]:
                told = f"{found[0].path}: not as here: {'; '.join(other)}"
                print(f"resnet-bench: {told}", file=sys.stderr)
        elif alone:
            together = _annotated_like(every, _together(alone))
            shown.append(together)
            if together.records:
                print(markdown.render(together), end="")
    return conclude(found, [*merged.remarks, *altered, *_without_effect(options, shown)])


def _report(sources: Iterable[Source]) -> "Report":
    """The report of runs put together."""
    from bench.reports.report import Report

    merged = merge(sources)
    return Report(merged.records, merged.runs, remarks=merged.remarks)


def _together(sources: Iterable[Source]) -> "Report":
    """The report of runs, with shards of one plan as one run."""
    whole, remarks = united(sources)
    report = _report(whole)
    return replace(report, remarks=[*remarks, *report.remarks])


def _annotated(report: "Report", options: argparse.Namespace) -> "Report":
    """With what the user adds. Raises UsageError for machines that no record is of."""
    from bench.reports import rates

    check_baseline(options.baseline, (n for r in report.records for n in (r.machine, r.processor)))
    known = rates.read(options.machines, report.records) if options.machines else {}
    return replace(report, baseline=options.baseline, rates=known)


def _annotated_like(other: "Report", report: "Report") -> "Report":
    return replace(report, baseline=other.baseline, rates=other.rates)


def _without_effect(options: argparse.Namespace, reports: Iterable["Report"]) -> list[str]:
    """One line where options were given that compare hardware, and no report has more than one."""
    given = {"--baseline": options.baseline, "--machines": options.machines}
    named = " and ".join(option for option, value in given.items() if value)
    kinds = [{(r.machine, r.processor, r.device) for r in each.records} for each in reports]
    if not named or any(len(kind) > 1 for kind in kinds):
        return []
    return [f"{named} changed nothing: no report here has two machines; merge runs by --out"]


def _write_merged(out: Path, report: "Report", plots: bool) -> None:
    from bench.reports.write import write_reports

    check_free(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_reports(out, report, plots)
    except OSError as error:
        raise UsageError(f"--out {out}: cannot be written ({error})") from None


def _rewrite(found: Found, every: "Report", plots: bool) -> "list[Report]":
    """Write the reports of each run of a folder, annotated as `every` is, and its index, which is
    printed; returns the reports.
    """
    from bench.reports.formats import index
    from bench.reports.write import write_reports

    reports, entries = [], []
    for folder, rows in found.runs:
        report = _annotated_like(every, _report([(folder.run, rows)]))
        report = replace(report, remarks=[*report.remarks, *altered_since(folder)])
        try:
            write_reports(folder.path, report, plots)
            manifest.seal_reports(folder.path)
        except OSError as error:
            raise UsageError(f"{folder.path}: reports cannot be written ({error})") from None
        reports.append(report)
        files = [name for name in index.FILES if (folder.path / name).exists()]
        entries.append(index.Entry(_below(found, folder.path), report, files))
    if not found.alone:
        entries += [_unreadable(found, path, reason) for path, reason in found.unreadable.items()]
        _write_index(found.path, entries)
    return reports


def _unreadable(found: Found, path: Path, reason: str) -> "index.Entry":
    from bench.reports.formats import index

    # reports of an earlier state would be no answer
    files = [name for name in index.FILES if name in SIGNS and (path / name).exists()]
    reason = reason.removeprefix(f"{path}: ").replace(f"{path}{os.sep}", "")
    return index.Entry(_below(found, path), None, files, reason)


def _below(found: Found, path: Path) -> PurePosixPath:
    return PurePosixPath(path.relative_to(found.path).as_posix())


def _write_index(path: Path, entries: "Sequence[index.Entry]") -> None:
    from bench.reports.formats import index

    text = index.markdown(entries)
    try:
        write(path / "index.md", text)
        if any("report.html" in entry.files for entry in entries):
            write(path / "index.html", index.page(entries))
    except OSError as error:
        raise UsageError(f"{path}: the index cannot be written ({error})") from None
    print(text, end="")
