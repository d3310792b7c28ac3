"""What a disturbed process does to the comparison of two runs, by simulation.

`python tests/benchmarks/disturbed.py [TRIALS]` compares groups of equally fast processes by Welch's
t and by Yuen's, which trims a fifth at each end: how often each holds the truth (wanted: 95 %), how
wide it is, and how often it is sure of a slowdown of 8 %.
"""

import sys
from collections.abc import Callable

import numpy as np

from bench.analysis.unpaired import TRIM, difference

SD = 0.02  # of the logarithm of a process's speed
Noise = Callable[[np.random.Generator, int], np.ndarray]


def normal(random: np.random.Generator, count: int) -> np.ndarray:
    return random.normal(0, SD, count)


def heavy(random: np.random.Generator, count: int) -> np.ndarray:
    """Student's t of three degrees of freedom, with the same variance."""
    return SD * random.standard_t(3, count) / np.sqrt(3)


def uneven(random: np.random.Generator, count: int) -> np.ndarray:
    """One process in seven is slower by 15 %."""
    return normal(random, count) - 0.15 * (random.random(count) < 1 / 7)


def disturbed(random: np.random.Generator, count: int) -> np.ndarray:
    """One process takes four times as long."""
    noise = normal(random, count)
    noise[0] -= np.log(4)
    return noise


NOISES: dict[str, tuple[Noise, Noise]] = {
    "normal": (normal, normal),
    "heavy tails": (heavy, heavy),
    "one in seven 15 % slower": (uneven, uneven),
    "one in a run 4 times slower": (normal, disturbed),
}


def main() -> None:
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    print("| processes | noise | interval | holds | half width | 8 % slowdown is sure |")
    print("| ---: | --- | --- | ---: | ---: | ---: |")
    for count in (6, 10, 20):
        for name, (base, new) in NOISES.items():
            for what, trim in (("Welch", 0.0), ("Yuen", TRIM)):
                random = np.random.default_rng(0)
                found = []
                for _ in range(trials):
                    theirs, ours = base(random, count), new(random, count)
                    each = difference(list(ours), list(theirs), trim)
                    assert each is not None
                    assert each.low is not None
                    assert each.high is not None
                    found.append((each.low, each.high))
                low, high = np.array(found).T
                holds, half = np.mean((low <= 0) & (high >= 0)), np.median(high - low) / 2
                sure = np.mean(high + np.log(0.92) < 0)
                print(f"| {count} | {name} | {what} | {holds:.1%} | {half:.1%} | {sure:.0%} |")


if __name__ == "__main__":
    main()
