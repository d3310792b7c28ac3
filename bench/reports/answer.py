"""What a report says first: what is fastest, by how much, what ties."""

from collections import Counter
from collections.abc import Sequence

from bench.analysis.contests import Contest, Summary
from bench.reports.report import Report
from bench.reports.text import escape, interval

SHOWN = 3  # slower contenders that an answer names, beside the slowest

WORKLOADS = {
    "train": "Training",
    "infer": "Inference",
    "infer-streams": "Inference by streams",
    "train+input": "Training with input",
    "train-to": "Training to an accuracy",
}


def answers(report: Report) -> list[str]:
    """One sentence for each contest, or where they are many one for each workload; Markdown."""
    if not report.many:
        return [answer(contest) for contest in report.contests]
    sentences = []
    for workload, word in WORKLOADS.items():
        if of := [contest for contest in report.contests if contest.cell.workload == workload]:
            places = "; ".join(dict.fromkeys(contest.place for contest in of))
            sentences.append(f"**{word}**: {escape(counted(of))}. (on {escape(places)})")
    return sentences


def answer(contest: Contest) -> str:
    """One sentence: what is fastest, by how much, and what ties with it; Markdown."""
    sentence = _of_times(contest) if contest.to_target else _of_speeds(contest)
    where = f"({escape(contest.label)}, on {escape(contest.place)})"
    return f"**{WORKLOADS[contest.cell.workload]}**: {sentence}. {where}"


def _of_speeds(contest: Contest) -> str:
    if not contest.fastest.throughput_images_per_s:
        return "nothing could be measured"
    best, *others = (s for s in contest.summaries if s.throughput_images_per_s)
    speed = achieved(best)
    ties, slower, undecided = (
        [s for s in others if s.verdict == verdict] for verdict in ("tie", "slower", None)
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
    if undecided:
        names = ", ".join(escape(s.cell.label) for s in undecided)
        text += f"; without an interval nothing can be said of {names}"
    return text


def _slower(slower: Sequence[Summary]) -> str:
    """The next few, and how far down it goes."""
    shown = [f"{escape(s.cell.label)} ({interval(s.speed_against_fastest, 2)}×)" for s in slower]
    if len(shown) <= SHOWN + 1:
        return ", ".join(shown)
    return f"{', '.join(shown[:SHOWN])} and {len(shown) - SHOWN} more, down to {shown[-1]}"


def _of_times(contest: Contest) -> str:
    """Which contender reaches the target first, in what time, and what ties with it."""
    arrived = [s for s in contest.summaries if s.seconds_to_target]
    if not arrived:
        return "no contender reached the target in every process"
    best, *others = arrived
    text = f"{escape(best.cell.label)} needed {interval(best.seconds_to_target, 1)} s of training"
    kinds = (("tie", "tied with it"), ("slower", "slower"), (None, "without a verdict"))
    for verdict, words in kinds:
        labels = [
            f"{escape(s.cell.label)} ({interval(s.seconds_to_target, 1)} s)"
            for s in others
            if s.verdict == verdict
        ]
        if labels:
            text += f"; {words}: {', '.join(labels)}"
    missed = [escape(s.cell.label) for s in contest.ranked if s not in arrived]
    if missed:
        text += f"; not always there within {best.cell.steps} steps: {', '.join(missed)}"
    return text


def leaders(contest: Contest) -> list[Summary]:
    """The fastest and what ties with it, or a contender that is alone; none where nothing was
    measured, or where there is no verdict.
    """
    measured = [s for s in contest.summaries if achieved(s)]
    if len(measured) > 1 and not measured[0].verdict:
        return []
    return [*measured[:1], *(s for s in measured[1:] if s.verdict == "tie")]


def achieved(summary: Summary) -> str | None:
    """What a contender is ranked by, with its unit; None where there is nothing."""
    if summary.to_target:
        return f"{interval(time, 1)} s to target" if (time := summary.seconds_to_target) else None
    speed = summary.throughput_images_per_s
    return f"{interval(speed)} images/s" if speed else None


def counted(contests: Sequence[Contest]) -> str:
    """`torch_module eager is ahead, or ties with what is, in 5 of 6 contests, X in 2`."""
    wins = Counter(s.cell.label for contest in contests for s in leaders(contest))
    if wins:
        (first, most), *others = wins.most_common()
        text = f"{first} is ahead, or ties with what is, in {most} of {len(contests)} contests"
        return text + "".join(f", {label} in {count}" for label, count in others)
    if any(achieved(contest.fastest) for contest in contests):
        return f"there is no verdict in any of {len(contests)} contests"
    return f"nothing could be measured in {len(contests)} contests"


def brief(contests: Sequence[Contest]) -> str:
    """Each workload in a few words, as plain text."""
    lines = []
    for workload, word in WORKLOADS.items():
        of = [contest for contest in contests if contest.cell.workload == workload]
        if len(of) == 1 and (speed := achieved(of[0].fastest)):
            best = leaders(of[0])
            names = ", ".join(s.cell.label for s in best or [of[0].fastest])
            lines.append(
                f"{word}: {names}{' tie' * (len(best) > 1)}, {speed}{' (no verdict)' * (not best)}"
            )
        elif of:
            lines.append(f"{word}: {counted(of)}")
    return "; ".join(lines) or "nothing was measured"
