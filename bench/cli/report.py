"""`resnet-bench report`: the reports of runs made again, of each or merged; an index of many.

A folder that holds `run.json` or `records.jsonl` is a run. Any other stands for all runs below it.
"""

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from bench.errors import UsageError, unknown
from bench.files import write
from bench.records import Record
from bench.records.folder import RunFolder, check_free
from bench.records.merging import Merged, Run, merge
from bench.reports.formats import index, markdown
from bench.reports.write import rates, write_reports

SIGNS = ("run.json", "records.jsonl")  # of a run's folder


@dataclass
class Found:
    """A folder that was given, and the runs that it stands for."""

    path: Path
    alone: bool  # it is a run itself
    runs: list[tuple[RunFolder, list[Record]]] = field(default_factory=list)
    unreadable: dict[Path, str] = field(default_factory=dict)  # and why


def report(options: argparse.Namespace) -> int:
    """Derive reports again; returns 1 where a run below a folder cannot be read."""
    found = [_find(path) for path in options.folders]
    every = merge(source for each in found for source in _sources(each))
    if not every.records and all(each.alone for each in found):
        raise UsageError(f"{', '.join(map(str, options.folders))}: no records yet")
    told = _annotations(options, every.records)
    left_out = {path: reason for each in found for path, reason in each.unreadable.items()}
    if options.out:
        also = [f"{path} was left out, since it cannot be read" for path in left_out]
        runs = _runs(every, told, also)
        _write_merged(options.out, every.records, runs, options.plots)
        print(markdown.render(every.records, runs), end="")
        rendered = [every.records]
    else:
        for each in found:
            for folder, rows in each.runs:
                _rewrite(folder, rows, told, options.plots)
            if not each.alone:
                print(_write_index(each), end="")
        alone = [source for each in found if each.alone for source in _sources(each)]
        together = merge(alone)
        rendered = [together.records, *(rows for each in found for _, rows in each.runs)]
        if len(alone) == len(found) == 1:
            print((found[0].path / "report.md").read_text(encoding="utf-8"), end="")
        elif together.records:
            print(markdown.render(together.records, _runs(together, told)), end="")
    for reason in left_out.values():
        print(f"resnet-bench: left out {reason}", file=sys.stderr)
    for line in [*every.remarks, *_without_effect(options, rendered)]:
        print(f"resnet-bench: look out: {line}", file=sys.stderr)
    return 1 if left_out else 0


def _find(path: Path) -> Found:
    """The runs of a folder. Raises UsageError where it is none and holds none."""
    if _is_run(path) or not os.path.isdir(path):
        folder = RunFolder.open(path)
        return Found(path, True, [(folder, folder.records())])
    found = Found(path, False)
    for below in _runs_below(path):
        try:
            folder = RunFolder.open(below)
            found.runs.append((folder, folder.records()))
        except UsageError as error:
            found.unreadable[below] = str(error)
    if not found.runs and not found.unreadable:
        raise UsageError(f"{path}: holds no run, nor does any folder below it (no {SIGNS[0]})")
    return found


def _sources(found: Found) -> list[tuple[Run, list[Record]]]:
    return [(folder.run, rows) for folder, rows in found.runs]


def _is_run(path: Path) -> bool:
    return any(os.path.exists(path / sign) for sign in SIGNS)  # not Path: a name may be too long


def _runs_below(path: Path) -> Iterator[Path]:
    """The runs below a folder, in the order of their names; not what lies within a run."""
    for at, folders, _ in os.walk(path):
        here = Path(at)
        if here != path and _is_run(here):
            folders.clear()
            yield here
        else:
            folders[:] = sorted(name for name in folders if not name.startswith("."))


def _annotations(options: argparse.Namespace, records: Sequence[Record]) -> Run:
    """What the user adds to every run. Raises UsageError for machines that nobody measured."""
    names = dict.fromkeys(name for r in records for name in (r.machine, r.processor))
    if options.baseline is not None and options.baseline not in names:
        what = unknown("machine or processor", options.baseline, names)
        raise UsageError(f"--baseline {options.baseline}: {what}")
    known = rates.read(options.machines, records) if options.machines else {}
    return {"rates": known, "baseline": options.baseline}


def _without_effect(options: argparse.Namespace, rendered: Iterable[Sequence[Record]]) -> list[str]:
    """One line where options were given that compare hardware, and no report has more than one."""
    given = {"--baseline": options.baseline, "--machines": options.machines}
    named = " and ".join(option for option, value in given.items() if value)
    kinds = [{(r.machine, r.processor, r.device) for r in records} for records in rendered]
    if not named or any(len(kind) > 1 for kind in kinds):
        return []
    return [f"{named} changed nothing: no report here has two machines; merge runs by --out"]


def _runs(merged: Merged, told: Run, also: Sequence[str] = ()) -> list[Run]:
    return [{**run, **told, "remarks": [*merged.remarks, *also]} for run in merged.runs]


def _write_merged(out: Path, records: Sequence[Record], runs: Sequence[Run], plots: bool) -> None:
    check_free(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_reports(out, records, runs, plots)
    except OSError as error:
        raise UsageError(f"--out {out}: cannot be written ({error})") from None


def _rewrite(folder: RunFolder, rows: Sequence[Record], told: Run, plots: bool) -> None:
    one = merge([(folder.run, rows)])
    try:
        write_reports(folder.path, one.records, _runs(one, told), plots)
    except OSError as error:
        raise UsageError(f"{folder.path}: reports cannot be written ({error})") from None


def _write_index(found: Found) -> str:
    """Write the index of a folder; returns its Markdown."""
    entries = [_entry(found.path, folder.path, folder.run, rows) for folder, rows in found.runs]
    entries += [
        _entry(found.path, path, None, (), reason) for path, reason in found.unreadable.items()
    ]
    text = index.markdown(entries)
    try:
        write(found.path / "index.md", text)
        if any("report.html" in entry.files for entry in entries):
            write(found.path / "index.html", index.page(entries))
    except OSError as error:
        raise UsageError(f"{found.path}: the index cannot be written ({error})") from None
    return text


def _entry(
    top: Path, path: Path, run: Run | None, rows: Sequence[Record], reason: str | None = None
) -> index.Entry:
    files = [name for name in index.FILES if (path / name).exists()]
    if reason:  # reports of an earlier state would be no answer
        files = [name for name in files if name in SIGNS]
        reason = reason.removeprefix(f"{path}: ").replace(f"{path}{os.sep}", "")
    relative = PurePosixPath(path.relative_to(top).as_posix())
    return index.Entry(relative, run, merge([(run, rows)]).records if run else rows, files, reason)
