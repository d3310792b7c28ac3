"""The effective settings of each worker, and the differences between them that are unfair."""

from collections.abc import Mapping, Sequence

from bench.analysis import effective
from bench.analysis.contests import Contest, Summary
from bench.cells import Cell
from bench.reports.report import Report
from bench.reports.text import escape, table

# Settings whose difference is no framework's own way -> what to do about it.
MUST_AGREE = {
    "cpus": "choose one number of CPUs for all by --threads",
    "threads": "choose one number of threads for all by --threads, and set none in user files",
    "malloc": "set MALLOC_*_THRESHOLD_ and LD_PRELOAD for all workers or for none",
    "cudnn_autotune": "set torch.backends.cudnn.benchmark alike in all that compute by PyTorch",
    "gpu_memory": "leave XLA_PYTHON_CLIENT_PREALLOCATE and TF_FORCE_GPU_ALLOW_GROWTH alone",
}


def section(report: Report) -> str:
    """For each contest what is the same for all rows, what differs, and what of it is unfair."""
    parts = [_contest(contest, report.name_of(contest)) for contest in report.contests]
    known = [NOTE, *filter(None, parts)] if any(parts) else [UNKNOWN]
    return "\n\n".join(["## Effective settings", *known])


UNKNOWN = "Not known of these rows."
NOTE = (
    "The settings of each worker, read back after its warm-up. A dash stands for a setting that a "
    "row does not know. Layout, compiler and optimizer are each framework's own way; what makes a "
    "comparison **unfair** is named."
)


def remarks(contest: Contest) -> list[str]:
    """One sentence for each thing that is unfair among the rows of a contest."""
    found = unfair({s.cell: settings(s) for s in contest.ranked})
    return [f"**Unfair**: {escape(each)}." for each in found]


def _contest(contest: Contest, title: str) -> str:
    """One contest, empty where no row knows a setting."""
    rows = {s.cell: settings(s) for s in contest.ranked}
    names = sorted({name for known in rows.values() for name in known})
    if not names:
        return ""
    same = {}
    for name in names:
        values = {known.get(name) for known in rows.values()}
        if len(values) == 1:
            same[name] = str(values.pop())
    lines = [f"### {escape(title)}"]
    if same:
        stated = ", ".join(f"{name} {value}" for name, value in same.items())
        lines.append(f"The same for all: {escape(stated)}.")
    if differing := [name for name in names if name not in same]:
        lines.append(
            table(
                ["contender", *differing],
                [
                    [cell.known_as, *(known.get(n, "–") for n in differing)]
                    for cell, known in rows.items()
                ],
            )
        )
    if found := remarks(contest):
        lines.append("\n".join(f"- {each}" for each in found))
    return "\n\n".join(lines)


def settings(summary: Summary) -> dict[str, str]:
    """The settings of a cell; where its processes had different ones, all of them."""
    found: dict[str, list[str]] = {}
    for record in summary.records:
        for name, value in record.settings.items():
            found.setdefault(name, []).append(value)
    return {name: " or ".join(dict.fromkeys(values)) for name, values in found.items()}


def unfair(rows: Mapping[Cell, Mapping[str, str]]) -> list[str]:
    """What makes the comparison of these rows unfair, each with its remedy."""
    found = []
    for name, remedy in MUST_AGREE.items():
        by_value: dict[str, list[str]] = {}
        for cell, known in rows.items():
            if name in known:
                by_value.setdefault(known[name], []).append(cell.known_as)
        if len(by_value) > 1:
            who = "; ".join(f"{value} for {_list(of)}" for value, of in by_value.items())
            causes = [effective.cause(name, known) for known in rows.values()]
            unset = [f"unset {each}" for each in dict.fromkeys(filter(None, causes))]
            found.append(f"{name} differs ({who}): {'; '.join(unset) or remedy}")
    for cell, known in rows.items():
        found += [f"{cell.known_as}: {each}" for each in _of_one(cell, known)]
    return found


def _of_one(cell: Cell, known: Mapping[str, str]) -> list[str]:
    """Where a row is not what its label says, or lacks a library that its framework has."""
    found = []
    threads = cell.threads and max(1, cell.threads // (cell.streams or 1))  # of a request
    requested = str(threads or known.get("threads"))
    if known.get("threads", requested) != requested:
        otherwise = "let it take their number from the environment"
        found.append(
            f"uses {known['threads']} threads, not the {requested} asked for: "
            f"{effective.remedy('threads', known, otherwise)}"
        )
    found += effective.contradictions(cell, known)
    if cell.device == "cpu" and known.get("onednn") == "off":
        found.append(
            "oneDNN is off, though its engine computes with it on a CPU: "
            f"{effective.remedy('onednn', known, 'turn it on')}, or read this row as that of the "
            "engine without it"
        )
    return found


def _list(labels: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(labels))
