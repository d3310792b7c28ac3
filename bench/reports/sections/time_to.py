"""Training to a target accuracy: its ranking, by the time that it takes."""

import statistics
from collections.abc import Sequence

from bench.analysis.contests import Summary
from bench.records import Record
from bench.reports.text import escape, interval, number, table

READING = (
    "**s to target** is the training time until an evaluation found the target accuracy: the "
    "geometric mean over processes with its 95 % interval. The first step, which a column shows, "
    "is in it, and whatever was compiled then or later; import, build and evaluations are not. "
    "Each process begins from another seed, the same ones for every contender. *Against fastest* "
    "compares processes of equal seeds; a contender whose processes did not all reach the target "
    "has no time and no rank. Accuracy is looked at every so many steps, and steps are known no "
    "better than that."
)


def is_one(contest: Sequence[Summary]) -> bool:
    """Whether a contest is ranked by its time to a target."""
    return contest[0].cell.target_accuracy is not None


def answer(contest: Sequence[Summary]) -> str:
    """One sentence: which gets there first, in what time, and what ties with it."""
    arrived = [s for s in contest if s.seconds_to_target]
    if not arrived:
        return "no contender reached the target in every process"
    best, *others = arrived
    text = f"{escape(best.cell.label)} needed {_time(best)} s of training"
    for told, words in (("tie", "tied with it"), ("slower", "slower"), (None, "not to be told")):
        labels = [f"{escape(s.cell.label)} ({_time(s)} s)" for s in others if s.verdict == told]
        if labels:
            text += f"; {words}: {', '.join(labels)}"
    missed = [escape(s.cell.label) for s in contest if s.records and s not in arrived]
    if missed:
        text += f"; not always there within {best.cell.steps} steps: {', '.join(missed)}"
    return text


def section(contest: Sequence[Summary]) -> str:
    """The ranking of one contest, and how far those got that did not arrive."""
    ranked = [s for s in contest if s.records]
    header = ["", "s to target", "fastest – slowest", "first step s", "against fastest", ""]
    header += ["group", "reached", "steps, median (range)", "evaluation s", "test accuracy"]
    rows = []
    for s in ranked:
        known = [r for r in s.records if r.reached_train_s is not None]
        accuracy = s.test_accuracy
        rows.append(
            [
                s.cell.label,
                _time(s),
                _range([r.reached_train_s or 0.0 for r in known], 1),
                number(s.median("first_step_s"), 1),
                interval(s.speed_against_fastest, 2),
                s.verdict or "–",
                s.group or "–",
                f"{len(known)} of {len(s.records) + len(s.failures)}",
                _steps(known),
                number(s.median("evaluation_s"), 1),
                "–" if accuracy is None else f"{accuracy:.1%}",
            ]
        )
    missed = [
        f"- {escape(s.cell.label)}, seed {r.drawn_seed}: {escape(r.reason)}."
        for s in ranked
        for r in s.records
        if r.reached_train_s is None and r.reason
    ]
    return "\n\n".join(filter(None, [table(header, rows), "\n".join(missed), READING]))


def _time(summary: Summary) -> str:
    return interval(summary.seconds_to_target, 1)


def _range(values: Sequence[float], digits: int) -> str:
    if not values:
        return "–"
    return f"{number(min(values), digits)} – {number(max(values), digits)}"


def _steps(records: Sequence[Record]) -> str:
    steps = [r.reached_steps for r in records if r.reached_steps is not None]
    return f"{statistics.median(steps):g} ({_range(steps, 0)})" if steps else "–"
