"""The file that `pytest --benchmark-json` writes: `pytest-benchmark compare FILE …` reads it."""

import json
from typing import Any

from bench import __version__
from bench.analysis.contests import Contest, Summary
from bench.errors import UsageError
from bench.reports.report import Report


def serialize(report: Report) -> str:
    """Seconds per step of every block, as the benchmarks of our plugin in pytest have them.

    Raises UsageError where pytest-benchmark is not installed, whose statistics these are.
    """
    run = report.runs[0]
    found = {
        "machine_info": {"node": run.machine.machine, "cpu": {"brand_raw": run.machine.cpu}},
        "commit_info": {
            "id": (run.commit or "").removesuffix("-dirty") or None,
            "dirty": (run.commit or "").endswith("-dirty"),
        },
        "benchmarks": [
            _benchmark(s, contest, report) for contest in report.contests for s in contest.ranked
        ],
        "datetime": run.utc or report.records[0].utc,
        "version": f"resnet-bench {__version__}",
    }
    return json.dumps(found, indent=2, allow_nan=False) + "\n"


def _benchmark(s: Summary, contest: Contest, report: Report) -> dict[str, Any]:
    try:
        from pytest_benchmark.stats import Stats
    except ImportError:
        remedy = "pip install 'resnet-bench[pytest]'"
        raise UsageError(f"--export pytest-benchmark needs that package: {remedy}") from None
    stats = Stats()
    for record in s.records:
        for seconds in record.step_s:
            stats.update(seconds)
    group = report.name_of(contest)
    return {
        "group": group,
        "name": s.cell.label,
        "fullname": f"resnet-bench::{group}::{s.cell.label}",
        "params": None,
        "param": None,
        "extra_info": s.cell.as_dict(),
        "options": {"timer": "perf_counter", "rounds": stats.rounds, "warmup": True},
        "stats": stats.as_dict() | {"iterations": 1},
    }
