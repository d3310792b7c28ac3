"""What the columns of a report mean."""

from bench.reports.report import Report

SPEEDS = """\
- **images/s** is the batch size over the median block's time per step; the brackets hold its 95 %
  interval across processes. First step and warm-up are not in it.
- **against fastest** is the ratio of speeds, from blocks that ran in the same rounds: a drift of
  the machine that hits both cancels, so its interval is the one to trust. A *tie* is a difference
  that may be chance: the interval holds 1, or only just leaves it out where so many rows are
  compared, or the difference is below the machine's noise floor. With a single process there is no
  interval and no verdict. Rows are in the order of these ratios, not of images/s.
- **group**: rows that share a letter cannot be told apart, each compared with each. Of all the
  differences that letters and verdicts state, 5 % are expected to be chance.
- **certificate** says whether the row was proved to compute the reference's function, in float64
  and as it was timed; rows that fail are not ranked.
- **cold start** is import, build, first step and warm-up together; the **first step** holds the
  compilation, where there is any.
- **latency ms** is the median time of single steps, each awaited before the next begins, in rounds
  of their own after the blocks, when the machine may be faster; **p95** and **p99** are left out
  where there are under 20 and 100 of them.
- **host peak** is the worker's largest resident memory, **at set-up** what it held before the first
  step."""

TIMES = """\
- **s to target** is the training time until an evaluation found the target accuracy: the geometric
  mean over processes with its 95 % interval. The first step, which a column shows, is in it, and
  whatever was compiled then or later; import, build and evaluations are not. Each process begins
  from another seed, the same ones for every contender. *Against fastest* compares processes of
  equal seeds; a contender whose processes did not all reach the target has no time and no rank.
  The accuracy is measured every so many steps, and steps are known no better than that."""


def reading(report: Report) -> str:
    """The list of columns, as Markdown; those of training to a target where a contest has them."""
    to_target = any(contest.to_target for contest in report.contests)
    return "\n".join([SPEEDS, *[TIMES] * to_target])


def section(report: Report) -> str:
    """The list of columns, below its heading."""
    return f"## How to read this\n\n{reading(report)}"
