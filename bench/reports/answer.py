"""What a report says first, page and text alike: what is fastest, by how much, what ties."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bench.analysis.contests import Contest, Summary
from bench.analysis.statistics import Estimate
from bench.reports.report import Report
from bench.reports.text import interval
from bench.words import listed

SHOWN = 3  # slower contenders that an answer names, beside the slowest
ONE_BY_ONE = 12  # contests that are answered each for itself; more are counted

WORKLOADS = {
    "train": "Training",
    "infer": "Inference",
    "infer-streams": "Inference by streams",
    "train+input": "Training with input",
    "train-to": "Training to an accuracy",
    "train-dp": "Data-parallel training",
}


@dataclass(frozen=True)
class Bar:
    """The speed of one contender, as a part of the fastest's."""

    name: str  # that people use
    label: str  # of the catalogue
    share: Estimate
    verdict: str | None


@dataclass(frozen=True)
class Answer:
    """What is said first of one contest, or of many together; plain text."""

    topic: str  # `Inference, batch 8`: what tells the contest from the others of the report
    headline: str
    details: Sequence[str]  # sentences
    contest: str  # all that its cells share; empty where a list of contests has it
    bars: Sequence[Bar]  # the fastest first; none where there is nothing to compare


def answers(report: Report) -> list[Answer]:
    """One for each contest, in short where they are several; of very many one for each workload."""
    if len(report.contests) <= ONE_BY_ONE:
        return [answer(contest, report) for contest in report.contests]
    found = []
    for workload, word in WORKLOADS.items():
        if of := [contest for contest in report.contests if contest.cell.workload == workload]:
            places = "; ".join(dict.fromkeys(contest.place for contest in of))
            found.append(Answer(word, counted(of), (), f"on {places}", ()))
    return found


def answer(contest: Contest, report: Report) -> Answer:
    """The answer of one contest, without details where the report has many."""
    measured = [s for s in contest.summaries if achieved(s)]
    return Answer(
        topic=topic(contest, report),
        headline=_headline(contest, measured),
        details=() if report.many else tuple(_details(contest, measured)),
        contest="" if report.many else f"{contest.label}, on {contest.place}",
        bars=() if report.many or len(measured) < 2 else _bars(measured),
    )


def topic(contest: Contest, report: Report) -> str:
    """`Training, batch 8, fp32`: the workload, and what else tells the contest from the others."""
    workload = contest.cell.workload
    told = contest.cell.contest_words_without(*(report.alike[workload] - {"batch_size"}))
    place = [f"on {contest.place}"] * report.several_places
    return ", ".join([WORKLOADS[workload], *told, *place])


def _headline(contest: Contest, measured: Sequence[Summary]) -> str:
    """What is fastest and by how much, or what ties, in one line."""
    if not measured:
        unreached = "no contender reached the target in every process"
        return unreached if contest.to_target and contest.ranked else "nothing could be measured"
    first, *others = leaders(contest) or measured
    if not first.verdict and others:
        return f"no verdict; {first.cell.known_as} ran at {achieved(first)}"
    if others:
        return f"{listed([s.cell.known_as for s in (first, *others)])} tie"
    if ahead := _ahead(measured):
        return f"{first.cell.known_as} is fastest, {ahead}"
    return f"{first.cell.known_as} is at {achieved(first)}"


def _details(contest: Contest, measured: Sequence[Summary]) -> list[str]:
    """Speeds, what may be chance, and how far down it goes."""
    missed = [s.cell.known_as for s in contest.ranked if s not in measured]
    text = []
    if measured:
        best = measured[0]
        ties, slower, undecided = (
            [s for s in measured[1:] if s.verdict == verdict] for verdict in ("tie", "slower", None)
        )
        if best.verdict:
            text.append(f"{best.cell.known_as} is at {achieved(best)}")
        if ties:
            text.append(f"{_shares(ties)} of its speed may be as fast")
        if ties and (ahead := _ahead(measured)):
            text.append(f"{best.cell.known_as} is {ahead}, the first that is slower")
        if slower[1:]:
            text.append(f"Slower still: {_shares(slower[1:])} of its speed")
        if undecided:
            names = listed([s.cell.known_as for s in undecided])
            text.append(f"Without an interval nothing can be said of {names}")
    if missed and contest.to_target:
        steps = contest.cell.steps
        text.append(f"Not always at the target within {steps} steps: {listed(missed)}")
    return text


def _ahead(measured: Sequence[Summary]) -> str | None:
    """`1.53 [1.43, 1.67] times as fast as Flax NNX`: the fastest, and the first that is slower."""
    for s in measured:
        if s.verdict == "slower" and (against := s.speed_against_fastest):
            low, high = (value and 1 / value for value in (against.high, against.low))
            times = interval(Estimate(1 / against.value, low, high), 2)
            return f"{times} times as fast as {s.cell.known_as}"
    return None


def _shares(summaries: Sequence[Summary]) -> str:
    """`PyTorch eager at 0.88 [0.77, 1.00]`, of the next few, and how far down it goes."""
    shown = [f"{s.cell.known_as} at {interval(s.speed_against_fastest, 2)}" for s in summaries]
    if len(shown) <= SHOWN + 1:
        return listed(shown)
    return f"{', '.join(shown[:SHOWN])} and {len(shown) - SHOWN} more, down to {shown[-1]}"


def _bars(measured: Sequence[Summary]) -> tuple[Bar, ...]:
    return tuple(
        Bar(s.cell.known_as, s.cell.label, s.speed_against_fastest, s.verdict)
        for s in measured
        if s.speed_against_fastest
    )


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
    """`PyTorch eager is ahead, or ties with what is, in 5 of 6 contests, Flax NNX in 2`."""
    wins = Counter(s.cell.known_as for contest in contests for s in leaders(contest))
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
            names = ", ".join(s.cell.known_as for s in best or [of[0].fastest])
            lines.append(
                f"{word}: {names}{' tie' * (len(best) > 1)}, {speed}{' (no verdict)' * (not best)}"
            )
        elif of:
            lines.append(f"{word}: {counted(of)}")
    return "; ".join(lines) or "nothing was measured"
