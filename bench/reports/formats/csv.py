"""`results.csv`, one row per record, and `summary.csv`, one row per cell."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import fields
from functools import lru_cache
from operator import attrgetter
from typing import Any

import msgspec

from bench.analysis.cold_start import against_first
from bench.analysis.contests import Contest
from bench.analysis.statistics import Estimate
from bench.cells import Cell
from bench.records import FIELDS, SEQUENCES, Record
from bench.reports.report import Report

# OWASP's list, and the wide forms that Excel takes for the same
FORMULA = ("=", "+", "-", "@", "\t", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
LONGEST = 32_767  # characters of a cell in Excel, which cuts off or spills what is longer
SPECIAL = re.compile('[",\n]')
KEYS = tuple(field.name for field in fields(Cell))
MEDIANS = (
    "import_s",
    "build_s",
    "first_step_s",
    "warmup_s",
    "step_ms_median",
    "step_ms_p95",
    "step_ms_p99",
    "host_baseline_mib",
    "host_peak_mib",
    "device_peak_mib",
    "device_reserved_mib",
    "device_process_mib",
    "device_program_mib",
    "host_leak_kib_per_step",
    "device_leak_kib_per_step",
    "reached_steps",
    "reached_train_s",
    "evaluation_s",
    "final_loss",
    "test_accuracy",
    "achieved_gflop_per_s",
    "peak_fraction",
    "energy_j_per_image",
)


def results(report: Report) -> Iterator[str]:
    """One row per record; lists and mappings are JSON in their cell, unknown is empty.

    A list that is too long for a spreadsheet's cell is only counted.

    Line by line, since raw lists of thousands of records are more than fits well into memory.
    """
    yield RESULTS
    for record in report.records:
        yield result(record)


RESULTS = ",".join(FIELDS) + "\n"


def result(record: Record, raw: bool = True) -> str:
    """The line of a record; without `raw`, lists of samples are only counted."""
    values = zip(row(record), SAMPLED, strict=True)
    cells = [
        _escaped(_counted(value)) if sampled and value and not raw else _cell(value)
        for value, sampled in values
    ]
    return ",".join(cells) + "\n"


row = attrgetter(*FIELDS)
SAMPLED = tuple(name in SEQUENCES for name in FIELDS)


def _counted(values: Sized) -> str:
    return f"{len(values)} values, all in records.jsonl"


def _cell(value: Any) -> str:
    """One cell as `csv` writes it, which takes ten times as long for a cell that is a raw list."""
    if value is None:
        return ""
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, tuple | dict):
        return _escaped(_text(value))
    return str(value)


@lru_cache(maxsize=10_000)  # most texts are those of the row before
def _quoted(value: str) -> str:
    return _escaped(_text(value))


def _escaped(value: str) -> str:
    return '"' + value.replace('"', '""') + '"' if SPECIAL.search(value) else value


def summary(report: Report) -> str:
    """One row per cell: medians over its processes, and the throughput with its interval."""
    return SUMMARY + "".join(map(summarized, report.contests))


def summarized(contest: Contest) -> str:
    """The lines of a contest's cells."""
    overtaking = against_first(contest)
    return _lines(
        [
            *(_text(s.machine), _text(s.processor)),
            *(_text(getattr(s.cell, key)) for key in KEYS),
            *(len(s.records), len(s.failures), s.again),
            *_values(s.throughput_images_per_s),
            *_values(s.speed_against_fastest),
            *(_text(s.verdict), _text(s.group)),
            *_values(overtaking.get(s.cell)),
            *(_text(s.median(name)) for name in MEDIANS),
        ]
        for s in contest.summaries
    )


def _lines(rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _interval(name: str) -> tuple[str, str, str]:
    return name, f"{name}_low", f"{name}_high"


def _values(estimate: Estimate | None) -> tuple[Any, Any, Any]:
    if estimate is None:
        return "", "", ""
    return estimate.value, _text(estimate.low), _text(estimate.high)


def _text(value: Any) -> Any:
    """Numbers stay numbers; text that a spreadsheet would take for a formula begins with '."""
    if value is None:
        return ""
    if isinstance(value, str):
        value = value.replace("\r\n", "\n").replace("\r", "\n")  # else `csv` may not quote it
        return f"'{value}" if value.lstrip(" ").startswith(FORMULA) else value
    if not isinstance(value, tuple | dict):
        return value
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= LONGEST else _counted(value)


SUMMARY = _lines(
    [
        [
            *("machine", "processor", *KEYS, "processes", "failures", "measured_again"),
            *_interval("throughput_images_per_s"),
            *_interval("speed_against_fastest"),
            *("verdict", "group"),
            *_interval("break_even_steps"),
            *(f"{name}_median" for name in MEDIANS),
        ]
    ]
)
