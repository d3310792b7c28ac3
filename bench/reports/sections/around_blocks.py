"""What happened around the blocks: remarks on a ranking, a table, and the last line of a run."""

import statistics
from collections.abc import Callable, Sequence

from bench.analysis.attempts import counted
from bench.analysis.contests import Contest
from bench.analysis.energy import SHORTEST_GPU_BLOCK_S
from bench.analysis.steadiness import change, leak, may_leak, taken_cores
from bench.records import Record
from bench.reports.report import Report
from bench.reports.text import escape, number, table
from bench.words import plural

SECTION = "Around the blocks"
COUNTS = "Of each process the attempt counts in which the fewest cells of the contest were busy."
NAMED = 20  # other processes that are listed


def remarks(contest: Contest) -> list[str]:
    """One sentence for each kind of trouble that cells of a contest had, naming them."""
    kinds: dict[str, tuple[Callable[[Record], bool], Callable[[Sequence[Record]], str]]] = {
        "Measured on a busy machine, and so perhaps too slow": (is_busy, _taken),
        "Never settled": (is_unsettled, _changed),
        "Kept memory with every step": (leaks, _grown),
        "Slowed down by heat or for want of power": (is_throttled, lambda records: ""),
        "Held at the limit of power, as large GPUs often are": (is_power_capped, _capped),
        f"Timed in blocks shorter than {SHORTEST_GPU_BLOCK_S:g} s, too short for a GPU's counters "
        "(take more --steps)": (is_short, lambda records: ""),
        "Compiled in timed blocks, and so is faster than it seems": (compiles, _compiled),
    }
    sentences = []
    for title, (is_so, how_much) in kinds.items():
        named = []
        for s in contest.ranked:
            concerned = [record for record in s.records if is_so(record)]
            if concerned:
                many = f"{len(concerned)} of {plural(len(s.records), 'process')}"
                if is_so is is_busy and s.again:
                    many += f"; {s.again} measured again"
                named.append(f"{escape(s.cell.known_as)} ({many}{how_much(concerned)})")
        if named:
            sentences.append(f"**{title}**: {', '.join(named)}.")
    return sentences + _again(contest)


def _again(contest: Contest) -> list[str]:
    """Which cells were measured again, since the machine was busy; nothing where none was."""
    named = [
        f"{escape(s.cell.known_as)} ({s.again} of {plural(len(s.records), 'process')})"
        for s in contest.ranked
        if s.again
    ]
    if not named:
        return []
    told = ", ".join(named)
    return [f"**Measured again, since the machine was busy**: {told}. {COUNTS}"]


def is_busy(record: Record) -> bool:
    """Whether others had much of the machine while a process was measured."""
    return record.busy is True


def is_unsettled(record: Record) -> bool:
    """Whether a process ran its later blocks unlike its earlier ones."""
    return record.steady is False


def is_throttled(record: Record) -> bool:
    """Whether heat or want of power slowed the processor down."""
    return record.throttled is True


def is_power_capped(record: Record) -> bool:
    """Whether the limit of power held the clock down for a tenth of the timed blocks: no fault."""
    return (power_capped(record) or 0.0) > 0.1


def power_capped(record: Record) -> float | None:
    """The part of the timed blocks in which the limit of power held the clock down."""
    if record.power_capped_s is None or not record.block_s:
        return None
    return record.power_capped_s / sum(record.block_s)


def is_short(record: Record) -> bool:
    """Whether a GPU's blocks are too short for its counters."""
    if record.device == "cpu" or not record.block_s:
        return False
    return statistics.median(record.block_s) < SHORTEST_GPU_BLOCK_S


def compiles(record: Record) -> bool:
    """Whether something was compiled in timed blocks, after the warm-up.

    In the time to a target whatever is compiled counts, as it should.
    """
    return bool(record.compilations_while_timed) and record.target_accuracy is None


def leaks(record: Record) -> bool:
    """Whether host or device memory grew with every step."""
    return any(
        may_leak(record, where) and (found := leak(record, where)) and found.leaks
        for where in ("host", "device")
    )


def _taken(records: Sequence[Record]) -> str:
    parts = [statistics.fmean(taken) for record in records if (taken := taken_cores(record))]
    if not parts:
        return ""
    return f"; others had {number(statistics.median(parts), 2)} processors on average"


def _capped(records: Sequence[Record]) -> str:
    parts = [part for record in records if (part := power_capped(record)) is not None]
    return f"; {statistics.median(parts):.0%} of the time"


def _changed(records: Sequence[Record]) -> str:
    parts = [change(blocks) for record in records if len(blocks := record.step_s) > 1]
    return f"; later blocks took {statistics.median(parts):+.0%}" if parts else ""


def _compiled(records: Sequence[Record]) -> str:
    return f"; up to {max(record.compilations_while_timed or 0 for record in records)} times"


def _grown(records: Sequence[Record]) -> str:
    grown = []
    for where in ("host", "device"):
        found = [each for record in records if (each := leak(record, where)) and each.leaks]
        if found:
            slope = statistics.median(each.kib_per_step for each in found)
            grown.append(f"; {where} {number(slope, 1)} KiB a step")
    return "".join(grown)


# Column -> what it shows of one process, None where unknown, and its digits
COLUMNS: dict[str, tuple[Callable[[Record], float | None], int]] = {
    "own processors": (lambda r: _median(r.block_own_cores), 2),
    "others'": (lambda r: _median(r.block_other_cores), 2),
    "stolen": (lambda r: _median(r.block_stolen_cores), 2),
    "load": (lambda r: r.load_1min, 1),
    "CPU MHz": (lambda r: r.cpu_mhz, 0),
    "GPU MHz": (lambda r: r.gpu_mhz, 0),
    "at power limit": (power_capped, 2),
    "°C": (lambda r: r.temperature_c, 0),
    "host KiB/step": (lambda r: r.host_leak_kib_per_step, 1),
    "device KiB/step": (lambda r: r.device_leak_kib_per_step, 1),
}
KINDS: dict[str, Callable[[Record], bool]] = {
    "busy": is_busy,
    "unsettled": is_unsettled,
    "throttled": is_throttled,
    "compiling": compiles,
    "leaking": leaks,
}

READING = """\
Medians over blocks and processes. **Own processors** are those that the worker kept busy,
**others'** those that other processes did meanwhile, **stolen** those that the hypervisor gave to
other machines. **At power limit** is the part of the time in which a GPU's limit of power held
its clock down. The last column counts processes in trouble: *busy* where others had more than a
tenth of the processor time that the worker had, in more than a quarter of its blocks; *unsettled*
where the later half of the blocks differs from the earlier, the machine's own drift apart;
*leaking* where memory grew with the steps, throughout, beyond doubt, by more than 1 MiB and 1 %;
*throttled* where heat or want of power slowed the processor; *compiling* where something was
compiled in timed blocks. They are marked and never left out, unless `--remeasure-busy` had another
attempt, which counts in their place."""


def section(report: Report) -> str:
    """The table of all cells, under the heading `SECTION`; columns of unknowns are left out."""
    named = [
        (s, report.name_of(contest))
        for contest in report.contests
        for s in contest.ranked
        if any(r.block_s for r in s.records)
    ]
    shown = [
        (column, [_median([v for r in s.records if (v := value(r)) is not None]) for s, _ in named])
        for column, (value, _) in COLUMNS.items()
    ]
    shown = [(column, values) for column, values in shown if values != [None] * len(named)]
    if not shown:
        return "\n\n".join([f"## {SECTION}", *_neighbours(report), "Nothing is known."])
    rows = [
        [
            *(s.cell.known_as, contest),
            *(number(values[index], COLUMNS[column][1]) for column, values in shown),
            _counts(s.records) or "–",
        ]
        for index, (s, contest) in enumerate(named)
    ]
    header = ["contender", "contest", *(column for column, _ in shown), "trouble"]
    parts = [f"## {SECTION}", *_neighbours(report), READING, table(header, rows)]
    return "\n\n".join(parts)


def _neighbours(report: Report) -> list[str]:
    """Who else used the machine before a run measured; nothing of runs that did not look."""
    sentences = []
    for run in report.runs:
        if run.neighbours:
            where = f" of {escape(run.run_id)}" if len(report.runs) > 1 else ""
            first = ", ".join(escape(each.described) for each in run.neighbours[:NAMED])
            more = len(run.neighbours) - NAMED
            named = first + (f" and {plural(more, 'more process')}" if more > 0 else "")
            sentences.append(f"**Others used the machine** before the first block{where}: {named}.")
    return sentences


def notice(records: Sequence[Record]) -> str | None:
    """One line for the end of a run; None where there was no trouble."""
    rows = counted(records)
    counts = _counts([record for record in rows if record.status == "ok"])
    if counts and (aside := len(records) - len(rows)):
        counts += f"; {plural(aside, 'row')} set aside, since another attempt counts"
    return f"warning: {counts} (report.md, {SECTION})" if counts else None


def _counts(records: Sequence[Record]) -> str:
    """`2 of 3 busy, 1 of 3 leaking`; nothing where all is well."""
    counts = {word: sum(map(is_so, records)) for word, is_so in KINDS.items()}
    return ", ".join(f"{count} of {len(records)} {word}" for word, count in counts.items() if count)


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None
