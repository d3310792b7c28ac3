"""What `run --plan` prints: a plan as tables for people, or as JSON."""

import json
from typing import TYPE_CHECKING

from bench.validation import plain
from bench.words import plural

if TYPE_CHECKING:
    from rich.table import Table

    from bench.plan.plan import Plan, PlannedContest


def show(plan: "Plan", *, as_json: bool) -> None:
    """Print a plan."""
    from bench.cli.terminal import console

    if as_json:
        print(json.dumps(plain(plan), indent=2))
        return
    for contest in plan.contests:
        console().print(f"\n{contest.contest}: {_contest(contest)}", soft_wrap=True)
        console().print(_table(contest))
    if plan.cannot_run:
        console().print("\ncannot run here:")
        for each in plan.cannot_run:
            console().print(f"  {each.cell}: {each.status}: {each.reason}", soft_wrap=True)
    for line in lines(plan):
        console().print(line, soft_wrap=True)


def lines(plan: "Plan") -> list[str]:
    """The sums of a plan, in words."""
    most = "" if plan.total_s is not None else "at least "
    found = [
        "",
        f"{plural(plan.cells, 'cell')}, {plural(len(plan.contests), 'contest')}, "
        f"{plural(plan.processes, 'process')}, {len(plan.cannot_run)} cannot run here",
        f"time: {most}{minutes(plan.known_s)}: certificates {minutes(plan.certificates_s)} "
        f"({plan.certificates} halves to work out), building {minutes(plan.building_s)}, "
        f"measuring {minutes(plan.measuring_s)}, peaks {minutes(plan.peaks_s)}, "
        f"data and reports {minutes(plan.other_s)}",
    ]
    found += [f"{cell}: unknown until its first process" for cell in plan.unknown]
    available = f"{plan.memory_available_gib:.1f} GiB are available to workers"
    if plan.memory_bound != "host":
        available += f" (by the {plan.memory_bound})"
    if plan.process_limit_gib is not None:
        available += f", {plan.process_limit_gib:.1f} GiB to each (by ulimit)"
    if plan.memory_gib is not None:
        split = max((contest.cohorts or 1 for contest in plan.contests), default=1)
        parts = "one cohort" if split == 1 else f"up to {split} cohorts"
        found.append(
            f"memory: {plan.memory_gib:.1f} GiB for all contenders of the largest contest side by "
            f"side ({parts}); {available}"
        )
    else:
        found.append(f"memory: not known; {available}")
    found.append(
        f"disk: {plan.disk_kept_mib:.0f} MiB of results, {plan.disk_while_running_mib:.0f} MiB of "
        f"images while running; {plan.disk_free_mib / 1024:.0f} GiB are free"
    )
    return found + list(plan.remarks)


def minutes(seconds: float | None) -> str:
    """`45 s`, `13 min`, `2 h 05 min`; `?` where unknown."""
    if seconds is None:
        return "?"
    if seconds < 90:
        return f"{seconds:.0f} s"
    whole = round(seconds / 60)
    return f"{whole} min" if whole < 90 else f"{whole // 60} h {whole % 60:02} min"


def _contest(contest: "PlannedContest") -> str:
    memory = "" if contest.memory_gib is None else f", {contest.memory_gib:.1f} GiB"
    split = f" in {contest.cohorts} cohorts" if (contest.cohorts or 1) > 1 else ""
    count = plural(contest.processes, "process")
    return f"{count}, {minutes(contest.seconds)}{memory}{split}"


def _table(contest: "PlannedContest") -> "Table":
    from bench.reports.formats.plain_table import plain_table

    table = plain_table()
    table.add_column("contender", no_wrap=True)
    for name in ("time", "ms/step", "MiB"):
        table.add_column(name, justify="right")
    table.add_column("known by", no_wrap=True)
    for cell in contest.cells:
        table.add_row(
            cell.contender,
            minutes(cell.seconds),
            "?" if cell.step_ms is None else f"{cell.step_ms:.3g}",
            "?" if cell.memory_mib is None else f"{cell.memory_mib:,.0f}",
            cell.basis,
        )
    return table
