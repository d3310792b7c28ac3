"""Which interval holds what it promises, by simulation: the evidence for `analysis.statistics`.

`python tests/benchmarks/coverage.py` simulates runs whose true values are known, and prints for
each kind of interval how often it holds the truth (wanted: 95 %) and how wide it is. A process has
a speed of its own, the machine drifts from round to round, and blocks are disturbed now and then.

- **t**: Student's interval of the logarithms of the per-process values, as `estimate` does it
- **percentile**, **BCa**: `scipy.stats.bootstrap` of the same values: processes are resampled
- **two-level**: processes are resampled, then the rounds of each, and the medians taken anew

`python tests/benchmarks/coverage.py stopping` adds processes until t's interval is narrow enough,
as `--precision-target` does, and shows what that does to the coverage.
`python tests/benchmarks/coverage.py groups` compares ways to account for many comparisons.
"""

import argparse
import warnings
from collections.abc import Callable

import numpy as np
from scipy import special, stats

Interval = tuple[np.ndarray, np.ndarray]  # lower and upper ends (trials,)
Scenario = Callable[[np.random.Generator, int, int], np.ndarray]

PROCESSES = (3, 5, 7, 10, 20)
ROUNDS = 15
RESAMPLES = 999
PROCESS_SD = 0.02  # of the logarithm of a process's own speed
BLOCK_SD = 0.03  # scale of the noise of a block
DRIFT_SD = 0.05  # of the machine's speed


def block_noise(
    random: np.random.Generator, shape: tuple[int, ...], scale: float = BLOCK_SD
) -> np.ndarray:
    """Heavy tails on both sides, and one block in twenty disturbed by 50 % on average."""
    noise = scale * random.standard_t(3, shape)
    return noise + (random.random(shape) < 0.05) * random.exponential(0.5, shape)


def drift(random: np.random.Generator, trials: int, count: int, memory: float) -> np.ndarray:
    """AR(1) from round to round, on through all processes, with 10 rounds' time between them."""
    gap = 10
    length = count * (ROUNDS + gap)
    steps = random.normal(0, DRIFT_SD * np.sqrt(1 - memory**2), (trials, length))
    values = np.empty_like(steps)
    values[:, 0] = random.normal(0, DRIFT_SD, trials)
    for index in range(1, length):
        values[:, index] = memory * values[:, index - 1] + steps[:, index]
    return values.reshape(trials, count, ROUNDS + gap)[:, :, gap:]


def process_effects(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return random.normal(0, PROCESS_SD, shape)


def uneven_effects(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """One process in seven is unlucky from beginning to end, by 15 %."""
    return process_effects(random, shape) + 0.15 * (random.random(shape) < 1 / 7)


def ratio(
    effects: Callable[..., np.ndarray] = process_effects, block_sd: float = BLOCK_SD
) -> Scenario:
    """Logarithms of block ratios of two equal cells, interleaved: the rounds' drift is shared."""

    def draw(random: np.random.Generator, trials: int, count: int) -> np.ndarray:
        shared = drift(random, trials, count, 0.9)
        sides = [
            shared
            + effects(random, (trials, count, 1))
            + block_noise(random, (trials, count, ROUNDS), block_sd)
            for _ in range(2)
        ]
        return sides[0] - sides[1]  # (trials, count, ROUNDS)

    return draw


def speed(memory: float) -> Scenario:
    """Logarithms of one cell's block times, in which the drift stays."""

    def draw(random: np.random.Generator, trials: int, count: int) -> np.ndarray:
        noise = block_noise(random, (trials, count, ROUNDS))
        effects = process_effects(random, (trials, count, 1))
        return drift(random, trials, count, memory) + effects + noise

    return draw


SCENARIOS: dict[str, Scenario] = {
    "ratio of two cells, interleaved": ratio(),
    "the same, quiet blocks": ratio(block_sd=0.005),
    "the same, one process in seven unlucky": ratio(uneven_effects),
    "speed of a cell, drift forgotten within a process": speed(0.5),
    "speed of a cell, drift that outlasts processes": speed(0.98),
}


def student(logs: np.ndarray) -> Interval:
    """Of per-process values (trials, count)."""
    count = logs.shape[1]
    half = special.stdtrit(count - 1, 0.975) * logs.std(axis=1, ddof=1) / np.sqrt(count)
    center = logs.mean(axis=1)
    return center - half, center + half


def bootstrap(logs: np.ndarray, method: str, random: np.random.Generator) -> Interval:
    found = stats.bootstrap(
        (logs,), np.mean, axis=1, n_resamples=RESAMPLES, batch=50, method=method, rng=random
    )
    return found.confidence_interval.low, found.confidence_interval.high


def two_level(blocks: np.ndarray, random: np.random.Generator) -> Interval:
    trials, count, rounds = blocks.shape
    means = np.empty((RESAMPLES, trials))
    for index in range(RESAMPLES):
        chosen = random.integers(count, size=(trials, count, 1))
        again = random.integers(rounds, size=(trials, count, rounds))
        drawn = blocks[np.arange(trials)[:, None, None], chosen, again]
        means[index] = np.median(drawn, axis=2).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    return low, high


def coverages(trials: int) -> None:
    print(f"coverage (and median half width), {trials:,} simulated runs; {ROUNDS} rounds")
    for name, draw in SCENARIOS.items():
        random = np.random.default_rng(0)
        many = np.median(draw(random, 20_000, 2), axis=2)
        truth = 0.0 if "ratio" in name or "same" in name else float(many.mean())
        print(f"\n{name}\n{'processes':>9}{'t':>16}{'percentile':>16}{'BCa':>16}{'two-level':>16}")
        for count in PROCESSES:
            blocks = draw(random, trials, count)
            logs = np.median(blocks, axis=2)
            intervals = (
                student(logs),
                bootstrap(logs, "percentile", random),
                bootstrap(logs, "BCa", random),
                two_level(blocks, random),
            )
            row = f"{count:9}"
            for low, high in intervals:
                held = np.mean((low <= truth) & (truth <= high))
                row += f"{held:9.1%} ±{np.median(high - low) / 2:5.2%}"
            print(row, flush=True)


def stopping(trials: int) -> None:
    """Processes are added one at a time while t's half width exceeds the target, to 20 at most."""
    print("coverage of t where processes are added until the half width is within the target")
    print(f"{'at least':>9}{'target':>8}{'coverage':>10}{'processes':>11}{'at the cap':>12}")
    for least in (2, 3, 5, 7, 10):
        for target in (0.03, 0.02, 0.015):
            random = np.random.default_rng(0)
            logs = np.median(ratio()(random, trials, 20), axis=2)
            held, used = np.zeros(trials, bool), np.zeros(trials, int)
            for count in range(least, 21):
                low, high = student(logs[:, :count])
                stop = (used == 0) & (((high - low) / 2 <= target) | (count == 20))
                used[stop] = count
                held[stop] = ((low <= 0) & (high >= 0))[stop]
            print(
                f"{least:9}{target:8.1%}{held.mean():10.1%}{used.mean():11.1f}"
                f"{np.mean(used == 20):12.1%}",
                flush=True,
            )


def adjusted(p: np.ndarray, way: str) -> np.ndarray:
    """p-values (trials, pairs), adjusted for their number."""
    pairs = p.shape[1]
    order = np.argsort(p, axis=1)
    ranked = np.take_along_axis(p, order, axis=1)
    if way == "Holm":
        ranked = np.maximum.accumulate(ranked * (pairs - np.arange(pairs)), axis=1)
    elif way == "Benjamini-Hochberg":
        ranked = ranked * pairs / np.arange(1, pairs + 1)
        ranked = np.minimum.accumulate(ranked[:, ::-1], axis=1)[:, ::-1]
    result = np.empty_like(p)
    np.put_along_axis(result, order, ranked, axis=1)
    return result


def groups(trials: int) -> None:
    """Contests of several cells, paired t tests between all of them."""
    contests = {
        "all equal": np.zeros(13),
        "five equal, then 10 % apart": np.maximum(0, np.arange(13) - 4) * 0.1,
        "pairs of equals, 5 % apart": np.arange(13) // 2 * 0.05,
    }
    print("contests of 13 cells: share with any false difference, share of the differences stated")
    print("that are false, and share of the true differences that are stated")
    for name, truth in contests.items():
        for count in (3, 5, 7, 20):
            random = np.random.default_rng(0)
            logs = process_effects(random, (trials, count, 13)) * 1.2 + truth
            first, second = np.triu_indices(13, 1)
            differences = logs[:, :, first] - logs[:, :, second]  # (trials, count, pairs)
            error = differences.std(axis=1, ddof=1) / np.sqrt(count)
            p = 2 * special.stdtr(count - 1, -np.abs(differences.mean(axis=1)) / error)
            equal = truth[first] == truth[second]
            row = f"{name:>28}, {count:2} processes"
            for way in ("none", "Holm", "Benjamini-Hochberg"):
                stated = adjusted(p, way) < 0.05
                false = stated[:, equal]
                share = false.sum(axis=1) / np.maximum(1, stated.sum(axis=1))
                found = stated[:, ~equal].mean() if not equal.all() else np.nan
                row += f"  {way}: {false.any(axis=1).mean():.0%} {share.mean():.1%} {found:.0%}"
            print(row, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    what = {"coverages": coverages, "stopping": stopping, "groups": groups}
    parser.add_argument("what", choices=what, nargs="?", default="coverages")
    parser.add_argument("--trials", type=int, default=2000)
    options = parser.parse_args()
    warnings.simplefilter("ignore", stats.DegenerateDataWarning)
    what[options.what](options.trials)


if __name__ == "__main__":
    main()
