"""A run as an archive that can be reviewed: its files, their SHA-256, and how to repeat it."""

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

from bench.files import write
from bench.records.folder import RunFolder
from bench.reports.report import Report
from bench.reports.sections import repeat
from bench.reports.text import code, escape

SUMS = "SHA256SUMS"  # for `sha256sum --check`
NOT_OF_THE_RUN = (".", SUMS, "REVIEW.md")  # how the names of files begin that are left out

REVIEW = """\
# {name}: a run of resnet-bench

| file | what it is |
| --- | --- |
| `report.md`, `report.html` | the report, to read and to explore; both are derived |
| `records.jsonl` | every measurement, one line per process: the source of truth |
| `run.json` | what was asked for, the code, the machine and the installed packages |
| `constraints.txt` | the installed packages as pip takes them |
| `SHA256SUMS` | the SHA-256 of each file: `sha256sum --check SHA256SUMS` |

## Machine

{machine}

## What was checked

{checked}

## See that the report follows from the records

```sh
resnet-bench report .
```

{repeat}

Then hold the new run against this one, by `resnet-bench compare . NEW`. Absolute speeds belong to
their machine; the ratios and verdicts of a contest are what should come again.
"""


def pack(folder: Path, out: Path, checked: str) -> str:
    """Write the archive of a run; returns its SHA-256, which depends on the files alone.

    `checked`: what is known of its fitness, as lines.
    """
    opened = RunFolder.open(folder)
    report = Report(opened.records(), [opened.run])
    contents = {str(path.relative_to(folder)): path.read_bytes() for path in _files(folder)}
    contents["REVIEW.md"] = REVIEW.format(
        name=escape(opened.run.run_id),
        machine=escape(opened.run.machine.description),
        checked=code(checked).replace("```sh", "```text", 1),
        repeat=repeat.section(report),
    ).encode()
    contents[SUMS] = "".join(
        f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in contents.items()
    ).encode()
    packed = _tar(opened.path.resolve().name, contents)
    write(out, packed)
    return hashlib.sha256(packed).hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    """All files of a run, in the order of their names; links lead elsewhere and are left out."""
    for path in sorted(folder.rglob("*")):
        names = path.relative_to(folder).parts
        if path.is_file() and not path.is_symlink() and not names[0].startswith(NOT_OF_THE_RUN):
            yield path


def _tar(name: str, contents: dict[str, bytes]) -> bytes:
    """A .tar.gz without times and owners, so that equal files make equal archives."""
    whole = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=whole, mode="wb", filename="", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for path, content in contents.items():
            entry = tarfile.TarInfo(f"{name}/{path}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return whole.getvalue()
