"""`report.md`: the answer first, then the tables that carry it, then how to repeat it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.records import Record
from bench.reports import abstraction, article, cold_start, fairness, precision, roofline, state
from bench.reports.text import escape, interval, number, table
from bench.summary import Summary, summarise


def render(records: Sequence[Record], runs: Sequence[Mapping[str, Any]]) -> str:
    """The report of one run, or of several merged."""
    contests = summarise(records, runs)
    sections = [
        "# " + escape(", ".join(run["run_id"] for run in runs)),
        "\n".join(f"- {answer(contest)}" for contest in contests),
    ]
    sections += [_contest(contest) for contest in contests]
    sections += [precision.target(records, runs), precision.noise_floor(records, runs)]
    sections += [cold_start.section(contests), roofline.section(contests, runs)]
    sections.append(abstraction.section(contests, runs))
    failures = [r for contest in contests for s in contest for r in s.failures]
    if failures:
        sections.append("## Not ranked\n\n" + _failures(failures))
    sections.append("## Certificates\n\n" + _certificates(records))
    sections += article.sections(records)
    sections.append("## Same work\n\n" + _same_work(records))
    sections.append("## Settings in force\n\n" + fairness.section(contests))
    sections.append(state.section(contests))
    sections.append("## Machine and versions\n\n" + _machines(records, runs))
    sections.append("## How to read this\n\n" + READING)
    repeat = "\n".join(run["command"] for run in runs)
    sections.append(f"## Repeat it\n\n```sh\n{repeat}\n```")
    return "\n\n".join(filter(None, sections)) + "\n"


READING = """\
- **images/s** is the batch size over the median block's time per step; the brackets hold its 95 %
  interval across processes. First step and warm-up are not in it.
- **against fastest** is the ratio of speeds, from blocks that ran in the same rounds: a drift of
  the machine that hits both cancels, so its interval is the one to trust. A *tie* is a difference
  that may be chance: the interval holds 1, or only just leaves it out where so many rows are
  compared, or the difference is below the machine's noise floor. With a single process there is no
  interval and no verdict.
- **group**: rows that share a letter cannot be told apart, each compared with each. Of all the
  differences that letters and verdicts state, 5 % are expected to be chance.
- **step ms** is the median latency of single steps, each awaited before the next begins; **p95**
  and **p99** are left out where there are under 20 and 100 of them.
- **first step** holds the compilation, where there is any. **host peak** is the worker's largest
  resident memory, **of it set-up** what it held before the first step."""


def answer(contest: Sequence[Summary]) -> str:
    """One sentence: what is fastest, by how much, and what ties with it."""
    title = f"**{escape(contest[0].cell.contest_label)}** on {escape(contest[0].processor)}: "
    ranked = [s for s in contest if s.throughput_images_per_s]
    if not ranked:
        return title + "nothing could be measured."
    best, *others = ranked
    speed = interval(best.throughput_images_per_s)
    labels = {
        told: [escape(s.cell.label) for s in others if s.verdict == told]
        for told in ("tie", "slower", None)
    }
    name = escape(best.cell.label)
    if labels["tie"]:
        text = f"{', '.join([name, *labels['tie']])} tie, the first at {speed} images/s"
    elif labels["slower"] or not others:
        text = f"{name} is fastest at {speed} images/s"
    else:
        text = f"{name} ran at {speed} images/s"
    if labels["slower"]:
        text += "; slower are " + ", ".join(
            f"{escape(s.cell.label)} ({interval(s.speed_against_fastest, 2)}×)"
            for s in others
            if s.verdict == "slower"
        )
    if labels[None]:
        text += f"; without an interval nothing can be said of {', '.join(labels[None])}"
    return title + text + "."


def _contest(contest: Sequence[Summary]) -> str:
    title = f"## {escape(contest[0].cell.contest_label)}"
    ranked = [s for s in contest if s.records]
    if not ranked:
        return f"{title}\n\nNothing could be measured."
    training = contest[0].cell.workload == "train"
    header = ["", "images/s", "against fastest", "", "group"]
    if training:
        header += ["final loss", "test accuracy"]
    rows = []
    for s in ranked:
        row = [
            s.cell.label,
            interval(s.throughput_images_per_s),
            interval(s.speed_against_fastest, 2),
            "fastest" if s is ranked[0] else s.verdict or "–",
            s.group or "–",
        ]
        if training:
            row.append(number(s.median("final_loss"), 4))
            accuracy = s.median("test_accuracy")
            row.append("–" if accuracy is None else f"{accuracy:.1%}")
        rows.append(row)
    costs = f"### What it costs\n\n{_costs(ranked)}"
    return "\n\n".join([title, table(header, rows), *state.remarks(ranked), costs])


# Column -> the field whose median it shows, and its digits
COSTS = {
    "step ms": ("step_ms_median", 1),
    "p95": ("step_ms_p95", 1),
    "p99": ("step_ms_p99", 1),
    "GFLOP/s": ("achieved_gflop_per_s", 0),
    "of peak": ("peak_fraction", 2),
    "first step s": ("first_step_s", 2),
    "host peak MiB": ("host_peak_mib", 0),
    "of it set-up": ("host_baseline_mib", 0),
    "device peak MiB": ("device_peak_mib", 0),
    "reserved MiB": ("device_reserved_mib", 0),
    "process MiB": ("device_process_mib", 0),
    "J/image": ("energy_j_per_image", 4),
}


def _costs(ranked: Sequence[Summary]) -> str:
    """Time, memory and work; columns of which nothing is known are left out."""
    medians = {column: [s.median(field) for s in ranked] for column, (field, _) in COSTS.items()}
    known = [column for column, values in medians.items() if values != [None] * len(ranked)]
    rows = [
        [s.cell.label, *(number(medians[column][index], COSTS[column][1]) for column in known)]
        for index, s in enumerate(ranked)
    ]
    return table(["", *known], rows)


def _failures(records: Iterable[Record]) -> str:
    rows = [
        [r.cell.label, r.cell.contest_label, str(r.replicate), r.status, r.reason or "–"]
        for r in records
    ]
    return table(["", "cell", "process", "status", "reason"], rows)


def _certificates(records: Iterable[Record]) -> str:
    """What was proved of each executable that was measured."""
    verdicts: dict[tuple[str, ...], tuple[str, str]] = {}
    for r in records:
        if r.status in ("ok", "uncertified"):
            executable = (r.cell.label, r.model, r.device, r.precision, r.optimizer or "–")
            verdicts[executable] = (
                r.certificate_float64 or "not certified",
                r.certificate_timed or "not certified",
            )
    rows = [[" ".join(key), *verdict] for key, verdict in verdicts.items()]
    note = (
        "Whether an executable computes the reference's function: in float64, where rounding hides "
        "nothing, and as it is timed."
    )
    return f"{note}\n\n{table(['', 'float64', 'as timed'], rows)}"


def _same_work(records: Sequence[Record]) -> str:
    """Whether rows that are compared began from the same bytes."""
    measured = [r for r in records if r.status == "ok"]
    lines = []
    for contest in dict.fromkeys(r.cell.contest for r in measured):
        rows = [r for r in measured if r.cell.contest == contest]
        label = f"{rows[0].cell.contest_label} seed {rows[0].seed}"
        for what, field in (("initial weights", "weights_sha256"), ("batches", "data_sha256")):
            prints = {getattr(r, field) for r in rows}
            if None in prints:
                same = "unknown"
            elif len(prints) == 1:
                same = f"the same in all {len(rows)} processes ({prints.pop()[:12]})"
            else:
                same = f"**DIFFERENT** ({', '.join(sorted(p[:12] for p in prints))})"
            lines.append(f"- {escape(label)}: {what} {same}")
    return "\n".join(lines) or "Nothing was measured."


def _machines(records: Sequence[Record], runs: Sequence[Mapping[str, Any]]) -> str:
    lines = []
    for run in runs:
        machine = run["machine"]
        gpus = ", ".join(f"{g['name']} ({g['memory_gib']} GiB)" for g in machine["gpus"]) or "none"
        lines.append(
            f"- {escape(machine['machine'])}: {escape(machine['cpu'])}, "
            f"{machine['physical_cores']} cores ({machine['logical_cores']} logical), "
            f"{machine['memory_gib']} GiB, GPU {escape(gpus)}; {escape(machine['os'])}"
        )
    versions: dict[str, set[str]] = {}
    for record in records:
        for package, version in record.versions.items():
            versions.setdefault(package, set()).add(version)
    stated = ", ".join(f"{name} {' / '.join(sorted(versions[name]))}" for name in sorted(versions))
    return "\n".join([*lines, f"- {escape(stated)}"])
