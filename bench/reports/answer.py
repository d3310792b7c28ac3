"""What a report says first: what is fastest, by how much, what ties."""

from collections import Counter
from collections.abc import Sequence

from bench.analysis.contests import Summary
from bench.reports.sections import time_to
from bench.reports.text import escape, interval

SHOWN = 3  # slower contenders that an answer names, beside the slowest
FEW = 4  # contests that are answered one by one

WORKLOADS = {
    "train": "Training",
    "infer": "Inference",
    "train+input": "Training with input",
    "train-to": "Training to an accuracy",
}

Contest = Sequence[Summary]


def opening(contests: Sequence[Contest]) -> str:
    """One sentence for each contest, or where they are many one for each workload."""
    if len(contests) <= FEW:
        return "\n".join(f"- {answer(contest)}" for contest in contests)
    lines = []
    for workload, word in WORKLOADS.items():
        if of := [contest for contest in contests if contest[0].cell.workload == workload]:
            places = "; ".join(dict.fromkeys(place(contest[0]) for contest in of))
            lines.append(f"- **{word}**: {escape(counted(of))}. (on {escape(places)})")
    return "\n".join(lines)


def answer(contest: Contest) -> str:
    """One sentence: what is fastest, by how much, and what ties with it."""
    first = contest[0]
    where = f"({escape(first.cell.contest_label)}, on {escape(place(first))})"
    title = f"**{WORKLOADS[first.cell.workload]}**: "
    if time_to.is_one(contest):
        return f"{title}{time_to.answer(contest)}. {where}"
    if not first.throughput_images_per_s:
        return f"{title}nothing could be measured. {where}"
    best, *others = (s for s in contest if s.throughput_images_per_s)
    speed = achieved(best)
    ties, slower, untold = (
        [s for s in others if s.verdict == told] for told in ("tie", "slower", None)
    )
    name = escape(best.cell.label)
    if ties:
        names = ", ".join([name, *(escape(s.cell.label) for s in ties)])
        text = f"{names} tie, the first at {speed}"
    elif best.verdict:
        text = f"{name} is fastest at {speed}"
    else:
        text = f"{name} ran at {speed}"
    if slower:
        text += f"; slower {'is' if len(slower) == 1 else 'are'} {_slower(slower)}"
    if untold:
        names = ", ".join(escape(s.cell.label) for s in untold)
        text += f"; without an interval nothing can be said of {names}"
    return f"{title}{text}. {where}"


def _slower(slower: Contest) -> str:
    """The next few, and how far down it goes."""
    shown = [f"{escape(s.cell.label)} ({interval(s.speed_against_fastest, 2)}×)" for s in slower]
    if len(shown) <= SHOWN + 1:
        return ", ".join(shown)
    return f"{', '.join(shown[:SHOWN])} and {len(shown) - SHOWN} more, down to {shown[-1]}"


def place(summary: Summary) -> str:
    """`desk, Example CPU`: the machine and the chip that did the work."""
    record = (*summary.records, *summary.failures)[0]
    return f"{record.machine}, {summary.processor}"


def heading(contest: Contest, contests: Sequence[Contest]) -> str:
    """What a contest is called among others, as plain text: with its place where they are many."""
    label = contest[0].cell.contest_label
    several = len({place(each[0]) for each in contests}) > 1
    return f"{label}, on {place(contest[0])}" if several else label


def leaders(contest: Contest) -> list[Summary]:
    """The fastest and what ties with it, or a contender that is alone; none where nothing was
    measured, or nothing can be told.
    """
    measured = [s for s in contest if achieved(s)]
    if len(measured) > 1 and not measured[0].verdict:
        return []
    return [*measured[:1], *(s for s in measured[1:] if s.verdict == "tie")]


def achieved(summary: Summary) -> str | None:
    """What a contender is ranked by, with its unit; None where there is nothing."""
    if time_to.is_one([summary]):
        return f"{interval(time, 1)} s to target" if (time := summary.seconds_to_target) else None
    speed = summary.throughput_images_per_s
    return f"{interval(speed)} images/s" if speed else None


def counted(contests: Sequence[Contest]) -> str:
    """`torch_module eager is ahead, or ties with what is, in 5 of 6 contests, X in 2`."""
    wins = Counter(s.cell.label for contest in contests for s in leaders(contest))
    if not wins:
        none = "said of" if any(achieved(contest[0]) for contest in contests) else "measured in"
        return f"nothing could be {none} {len(contests)} contests"
    (first, most), *others = wins.most_common()
    text = f"{first} is ahead, or ties with what is, in {most} of {len(contests)} contests"
    return text + "".join(f", {label} in {count}" for label, count in others)


def brief(contests: Sequence[Contest]) -> str:
    """Each workload in a few words, as plain text."""
    lines = []
    for workload, word in WORKLOADS.items():
        of = [contest for contest in contests if contest[0].cell.workload == workload]
        if len(of) == 1 and (speed := achieved(of[0][0])):
            best = leaders(of[0])
            names = ", ".join(s.cell.label for s in best or of[0][:1]) + " tie" * (len(best) > 1)
            lines.append(f"{word}: {names}, {speed}" + " (no verdict)" * (not best))
        elif of:
            lines.append(f"{word}: {counted(of)}")
    return "; ".join(lines) or "nothing was measured"
