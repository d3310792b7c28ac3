"""What github-action-benchmark reads as `tool: customBiggerIsBetter`."""

import json

from bench.reports.report import Report
from bench.words import plural


def serialize(report: Report) -> str:
    """A list of speeds, each with half the width of its interval."""
    entries = []
    for contest in report.contests:
        for s in contest.ranked:
            speed = s.throughput_images_per_s
            if speed is None:
                continue
            entry = {
                "name": f"{s.cell.label}, {report.name_of(contest)}",
                "unit": "images/s",
                "value": speed.value,
                "extra": f"{plural(len(s.records), 'process')}, {s.verdict or 'no verdict'}",
            }
            if speed.low is not None and speed.high is not None:
                entry["range"] = f"± {(speed.high - speed.low) / 2:.6g}"
            entries.append(entry)
    return json.dumps(entries, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
