"""What a library above an engine costs: the same cell through it and without it."""

from collections.abc import Iterator

from bench.analysis.contests import Contest, Summary
from bench.analysis.groups import judged_together
from bench.analysis.statistics import Comparison, compare
from bench.reports.report import Report
from bench.reports.text import escape, interval, table

# Engine -> the implementation that is written on nothing but it (JAX has no layers of its own)
RAW = {"torch": "torch_module", "tensorflow": "tensorflow_module", "jax": "flax_nnx"}
ABOVE = (
    *("torchvision_model", "keras_sequential", "keras_functional", "keras_subclass"),
    "keras_fused",
)

SHARED = ("backend", "mode", "input")  # by both sides of a pair, beside the contest

OPENING = """\
The same network from the same weights, on the same engine and in the same mode, through a library
and without it. The ratio is the time per step through the library over the time without, from
blocks that ran in the same rounds: at 1.25 the library costs a quarter more time, below 1 it saves
some. A *tie* may be chance, as in the rankings."""

WORDS = {"faster": "costs time", "slower": "saves time", "tie": "tie", None: "–"}


def section(report: Report) -> str:
    """The section of `report.md`; empty where no contest has both sides of a pair."""
    parts = []
    for contest in report.contests:
        if contest.to_target:
            continue  # ranked by the time to a target, and not per step
        rows = [
            [above.cell.known_as, raw.cell.known_as, interval(found.ratio, 2), WORDS[found.verdict]]
            for above, raw, found in compared(contest)
        ]
        if rows:
            title = f"**{escape(report.name_of(contest))}**"
            header = ("through", "instead of", "time per step ×", "verdict")
            parts.append(f"{title}\n\n{table(header, rows)}")
    return "\n\n".join(["## The price of abstraction", OPENING, *parts]) if parts else ""


def compared(contest: Contest) -> list[tuple[Summary, Summary, Comparison]]:
    """(through a library, without it, how many times as fast is the latter), dearest first.

    Verdicts account for so many comparisons, as those of the ranking do.
    """
    pairs = list(_pairs(contest))
    found = judged_together(
        {
            index: comparison
            for index, (above, raw) in enumerate(pairs)
            if (comparison := compare(raw.records, above.records, contest.floor))
        }
    )
    dearest = sorted(found, key=lambda index: -found[index].ratio.value)
    return [(*pairs[index], found[index]) for index in dearest]


def _pairs(contest: Contest) -> Iterator[tuple[Summary, Summary]]:
    """Of one engine, one mode and the same weights: the cell of a library, and that without."""
    for above in contest.summaries:
        for raw in contest.summaries:
            records = (*above.records, *raw.records)
            prints = {(record.weights_seed, record.weights_sha256) for record in records}
            engine = raw.cell.backend
            if (
                above.cell.implementation in ABOVE
                and raw.cell.implementation == RAW.get(engine)
                and all(getattr(above.cell, name) == getattr(raw.cell, name) for name in SHARED)
                and len(prints) == len({seed for seed, _ in prints})
            ):
                yield above, raw
