"""Each contender on all hardware: speed, energy and money."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from bench.analysis.contests import Summary
from bench.analysis.hardware import (
    Hardware,
    Key,
    Question,
    baseline,
    compared,
    hardware,
    key,
    questions,
    speeds,
)
from bench.analysis.statistics import Comparison, estimate
from bench.records import Run
from bench.reports.answer import achieved
from bench.reports.rates import Rate, rate_of
from bench.reports.report import FEW, Report
from bench.reports.text import details, escape, interval, number, table

OPEN = 12  # rows of a table that lies open

Column = Callable[[Summary], str | None]  # what it shows of a cell; None: not known

READING = """\
The same contender on different hardware: all else of the cells is equal but the number of threads.
Machines never ran side by side, so their ratios are **not paired**: intervals come from the scatter
of each machine's own processes (Welch), and know nothing of what else a machine did that day, which
within a contest cancels. Verdicts account for the number of ratios in a table, and differences
below either machine's noise floor are ties."""
NOTES = {
    "of peak": "**Of peak** is against each machine's own measured peak.",
    "images/J": "**Images/J** is by the energy of the chip where that was measured, else by the "
    "power that `--machines` states.",
    "images per price": "**Images per price** is by the price that `--machines` states.",
}


def section(report: Report) -> str:
    """One table per question that several kinds of hardware answered; empty where there is none."""
    found = questions(report.contests)
    if not found:
        return ""
    cells = [s for on in found for contest in on.values() for s in contest.summaries]
    columns = _columns(cells, report.rates)
    first = hardware(report.contests[0])
    parts = []
    for on in found:
        title = next(iter(on.values())).cell.contest_label_without("device", "threads")
        text = _question(on, baseline(on, first, report.baseline), columns, report.runs)
        folded = len(found) > FEW
        parts.append(details(title, text) if folded else f"### {escape(title)}\n\n{text}")
    notes = " ".join(NOTES[column] for column in columns if column in NOTES)
    return "\n\n".join(filter(None, ["## Hardware", READING, notes, *parts]))


def _question(
    on: Question, base: Hardware | None, columns: Mapping[str, Column], runs: Sequence[Run]
) -> str:
    measured = {s.cell.label for contest in on.values() for s in contest.ranked}
    cells = [s for contest in on.values() for s in contest.summaries if s.cell.label in measured]
    cells.sort(key=_slowness)
    best = sorted((contest.fastest for contest in on.values()), key=_slowness)
    at_best = compared([(s, on[base].fastest) for s in best] if base else [], runs)
    theirs = {s.cell.label: s for s in on[base].summaries} if base else {}
    pairs = [(s, theirs[s.cell.label]) for s in cells if s.cell.label in theirs]

    labels = dict.fromkeys(s.cell.label for s in cells)
    order = [s for label in labels for s in cells if s.cell.label == label]
    parts = [
        _lead(best, runs) + " Each at its best, whatever is fastest there:",
        _table(best, columns, at_best, base),
        *_remarks(on, base),
    ]
    if len(order) > len(best):
        every = _table(order, columns, compared(pairs, runs), base)
        title = f"Every contender ({len(order)} rows)"
        parts.append(details(title, every) if len(order) > OPEN else f"{title}:\n\n{every}")
    return "\n\n".join(parts)


def _lead(best: Sequence[Summary], runs: Sequence[Run]) -> str:
    """One sentence: which hardware is fastest, what ties with it, and what comes next."""
    first, *others = best
    found = compared([(s, first) for s in others], runs)
    verdicts = [(c := found.get(key(s))) and c.verdict for s in others]
    names = [escape(f"{hardware(s)} by {s.cell.known_as}") for s in best]
    ties = [name for name, each in zip(names[1:], verdicts, strict=True) if each == "tie"]
    speed = achieved(first)
    if speed is None:
        return "Nobody reached the target in every process."
    if ties:
        text = f"{', '.join([names[0], *ties])} tie, the first at {speed}"
    elif "slower" in verdicts:
        text = f"{names[0]} is fastest at {speed}"
    else:
        return f"{names[0]} ran at {speed}; without intervals nothing can be said of the others."
    if "slower" in verdicts:
        place = verdicts.index("slower")
        text += f"; next is {names[place + 1]}, at {interval(found[key(others[place])].ratio, 2)}×"
    return f"{text}."


def _columns(cells: Sequence[Summary], rates: Mapping[str, Rate]) -> dict[str, Column]:
    """What is shown beside the speed; columns of which nothing is known are left out."""
    columns: dict[str, Column] = {
        "of peak": _of_peak,
        "images/J": lambda s: _joules(s, rate_of(rates, hardware(s))),
        "images per price": lambda s: _price(s, rate_of(rates, hardware(s))),
    }
    return {title: column for title, column in columns.items() if any(map(column, cells))}


def _table(
    cells: Iterable[Summary],
    columns: Mapping[str, Column],
    comparisons: Mapping[Key, Comparison],
    base: Hardware | None,
) -> str:
    cells = list(cells)
    header = ["contender", "on", "s to target" if cells[0].to_target else "images/s"]
    if base:
        header += [f"against {base.machine}", "verdict"]
    rows = []
    for s in cells:
        row = [s.cell.known_as, str(hardware(s)), _speed(s)]
        if base == hardware(s) and speeds(s):
            row += ["1.00", "baseline"]
        elif base:
            found = comparisons.get(key(s))
            row += [interval(found.ratio, 2), found.verdict or "–"] if found else ["–", "–"]
        rows.append([*row, *(column(s) or "–" for column in columns.values())])
    return table([*header, *columns], rows)


def _speed(summary: Summary) -> str:
    """With its interval; where nothing was measured, what became of it."""
    if summary.to_target and summary.records:
        return interval(summary.seconds_to_target, 1)
    if summary.throughput_images_per_s:
        return interval(summary.throughput_images_per_s)
    return summary.failures[0].status if summary.failures else "–"


def _of_peak(summary: Summary) -> str | None:
    fraction = summary.median("peak_fraction")
    return None if fraction is None else number(fraction, 2)


def _joules(summary: Summary, rate: Rate) -> str | None:
    """By the energy that was measured, or else by the power that is stated."""
    measured, speed = summary.median("energy_j_per_image"), summary.throughput_images_per_s
    if measured:
        return f"{_digits(1 / measured)} measured"
    if not rate.power_w or not speed:
        return None
    return f"{_digits(speed.value / rate.power_w)} at {rate.power_w:g} W"


def _price(summary: Summary, rate: Rate) -> str | None:
    speed = summary.throughput_images_per_s
    if not rate.price_per_hour or not speed:
        return None
    return f"{_digits(speed.value * 3600 / rate.price_per_hour)} / {rate.currency}"


def _digits(value: float) -> str:
    """Four of them: the interval of a speed has no more to give."""
    value = float(f"{value:.4g}")
    return f"{value:,.0f}" if value >= 1000 else f"{value:g}"


def _remarks(on: Question, base: Hardware | None) -> list[str]:
    """What makes the comparison less than one of hardware alone."""
    found = [] if base else ["The baseline that was named was not measured here."]
    packages: dict[str, dict[str, str]] = {}
    rows = [r for contest in on.values() for r in contest.records]
    for r in rows:
        for package, version in r.versions.items():
            packages.setdefault(package, {})[version] = r.machine
    unlike = [
        f"{package} " + ", ".join(f"{version} on {where}" for version, where in versions.items())
        for package, versions in sorted(packages.items())
        if len(versions) > 1
    ]
    if unlike:
        listed = escape("; ".join(unlike))
        found.append(f"**Versions differ**, so this is not hardware alone: {listed}.")
    for what, field in (("initial weights", "weights_sha256"), ("batches", "data_sha256")):
        prints = {(r.weights_seed, value) for r in rows if (value := getattr(r, field))}
        if len(prints) > len({seed for seed, _ in prints}):
            found.append(f"**Not the same work**: the {what} differ from machine to machine.")
    return found


def _slowness(summary: Summary) -> float:
    found = estimate(speeds(summary))
    return -found.value if found else 0.0
