"""`results.csv`, one row per record, and `summary.csv`, one row per cell."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import msgspec

from bench.analysis.cold_start import against_first
from bench.analysis.statistics import Estimate
from bench.cells import Cell
from bench.records import FIELDS
from bench.reports.report import Report

# OWASP's list, and the wide forms that Excel takes for the same
FORMULA = ("=", "+", "-", "@", "\t", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
LONGEST = 32_767  # characters of a cell in Excel, which cuts off or spills what is longer
SPECIAL = re.compile('[",\n]')
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
    yield ",".join(FIELDS) + "\n"
    for record in report.records:
        yield ",".join(_quoted(_text(getattr(record, name))) for name in FIELDS) + "\n"


def _quoted(value: Any) -> str:
    """One cell as `csv` writes it, which takes ten times as long for a cell that is a raw list."""
    if not isinstance(value, str) or not SPECIAL.search(value):
        return str(value)
    return '"' + value.replace('"', '""') + '"'


def summary(report: Report) -> str:
    """One row per cell: medians over its processes, and the throughput with its interval."""
    keys = tuple(field.name for field in fields(Cell))
    header = (
        *("machine", "processor", *keys, "processes", "failures", "measured_again"),
        *_interval("throughput_images_per_s"),
        *_interval("speed_against_fastest"),
        *("verdict", "group"),
        *_interval("break_even_steps"),
        *(f"{name}_median" for name in MEDIANS),
    )
    rows: list[list[Any]] = []
    for contest in report.contests:
        overtaking = against_first(contest)
        for s in contest.summaries:
            rows.append(
                [
                    *(_text(s.machine), _text(s.processor)),
                    *(_text(getattr(s.cell, key)) for key in keys),
                    *(len(s.records), len(s.failures), s.again),
                    *_values(s.throughput_images_per_s),
                    *_values(s.speed_against_fastest),
                    *(_text(s.verdict), _text(s.group)),
                    *_values(overtaking.get(s.cell)),
                    *(_text(s.median(name)) for name in MEDIANS),
                ]
            )
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
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
    return text if len(text) <= LONGEST else f"{len(value)} values, all in records.jsonl"
