"""What the columns of a report mean: a definition for each, also behind the page's headers."""

from bench.reports.report import Report

DEFINITIONS = {
    "contender": """\
an implementation of the network with its backend, its mode and its input pipeline, by the name that
people use. *In the catalogue* it has the name that `--impl` takes, and CSV files hold.""",
    "contest": "what rows have in common that are ranked against each other.",
    "images/s": """\
the batch size over the median block's time per step; the brackets hold its 95 % interval across
processes. First step and warm-up are not in it.""",
    "against fastest": """\
the ratio of speeds, from blocks that ran in the same rounds: a drift of the machine that hits both
cancels, so its interval is the one to trust. Rows are in the order of these ratios, not of
images/s.""",
    "verdict": """\
whether the difference from the fastest may be chance, which makes it a *tie*: the interval holds 1,
or only just leaves it out where so many rows are compared, or the difference is below the machine's
noise floor. With a single process there is no interval and no verdict.""",
    "group": """\
rows that share a letter cannot be told apart, each compared with each. Of all the differences that
letters and verdicts state, 5 % are expected to be chance. There are letters only where the
intervals mislead: two of them overlap and the rows differ, or they do not and the rows tie.""",
    "test accuracy": "of the very weights that the timed steps led to; the median over processes.",
    "certificate": """\
whether the row was proved to compute the reference's function, in float64 and as it was timed; rows
that fail are not ranked.""",
    "of peak": "the arithmetic done per second, over the measured peak of the machine.",
    "cold start s": """\
import, build, first step and warm-up together; the **first step** holds the compilation, where
there is any.""",
    "latency ms": """\
the median time of single steps, each awaited before the next begins, in rounds of their own after
the blocks, when the machine may be faster; **p95** and **p99** are left out where there are under
20 and 100 of them.""",
    "host peak MiB": """\
the worker's largest resident memory; **at set-up** is what it held before the first step.""",
    "device peak MiB": """\
what the framework's allocator had given out at most; **reserved** is what it held, **process** what
the driver counts, **program** what the compiled code needs.""",
    "GFLOP/s": "the arithmetic of the network done per second, in 10⁹ operations.",
    "J/image": "the energy that the hardware counted during the blocks, over their images.",
    "final loss": "the training loss of the last step; the median over processes.",
}
TO_TARGET = {
    "s to target": """\
the training time until an evaluation found the target accuracy: the geometric mean over processes
with its 95 % interval. The first step, which a column shows, is in it, and whatever was compiled
then or later; import, build and evaluations are not. Each process begins from another seed, the
same ones for every contender. *Against fastest* compares processes of equal seeds; a contender
whose processes did not all reach the target has no time and no rank. **Reached** says how many
did, **fastest – slowest** what the quickest and the slowest of them took.""",
    "steps": """\
how many it took; the accuracy is measured every so many, and steps are known no better than that.
**Evaluation** is the time that all those measurements took.""",
}
OF_CELLS = {  # of the page, whose table holds what was not measured too
    "status": """\
*ok*, or why nothing was measured: *unavailable* (not installed), *unsupported*, *oom* (not enough
memory), *timeout*, *crashed*, or *uncertified*.""",
    "reason": "what the worker, or the framework, said of a cell that is not ok.",
}


def definitions(report: Report) -> dict[str, str]:
    """Word -> its meaning, as Markdown; those of training to a target where a contest has them."""
    to_target = any(contest.to_target for contest in report.contests)
    return DEFINITIONS | (TO_TARGET if to_target else {})


def section(report: Report) -> str:
    """The list of columns, below its heading."""
    words = definitions(report)
    lines = [f"- **{word}**: " + words[word].replace("\n", "\n  ") for word in words]
    return "## How to read this\n\n" + "\n".join(lines)
