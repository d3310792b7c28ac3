"""How often a change is named in a history of runs that has none, and found in one that has.

`python tests/benchmarks/change_points.py [HISTORIES]` prints two tables. Each value of a history is
a run's speed over its control's, which scatters by 1 % from run to run.
"""

import sys
from collections.abc import Callable

import numpy as np

from bench.analysis.change_points import change_points

Noise = Callable[[np.random.Generator, int], np.ndarray]


def normal(random: np.random.Generator, count: int) -> np.ndarray:
    return random.normal(size=count)


def heavy(random: np.random.Generator, count: int) -> np.ndarray:
    """Student's t of three degrees of freedom, with the same variance."""
    return random.standard_t(3, size=count) / np.sqrt(3)


def bad_day(random: np.random.Generator, count: int) -> np.ndarray:
    """One run of the history is 10 % slower."""
    noise = random.normal(size=count)
    noise[random.integers(count)] -= 10
    return noise


def wandering(random: np.random.Generator, count: int) -> np.ndarray:
    """Each run keeps half of the deviation of the run before it."""
    noise = random.normal(size=count)
    for i in range(1, count):
        noise[i] = 0.5 * noise[i - 1] + np.sqrt(0.75) * noise[i]
    return noise


NOISES: dict[str, Noise] = {
    "normal": normal,
    "heavy tails": heavy,
    "one bad run": bad_day,
    "wandering": wandering,
}


def histories(noise: Noise, count: int, step: float, at: int, number: int) -> list[list[float]]:
    """`number` histories of `count` runs that are slower by `step` from run `at` on."""
    random = np.random.default_rng(0)
    found = []
    for _ in range(number):
        speeds = np.exp(0.01 * noise(random, count))
        speeds[at:] *= 1 - step
        found.append(list(speeds))
    return found


def false_alarms(noise: Noise, count: int, number: int) -> float:
    """Part of flat histories in which a change is named."""
    flat = histories(noise, count, 0.0, count, number)
    return sum(bool(change_points([each])[0]) for each in flat) / number


def found_at(noise: Noise, count: int, step: float, number: int) -> tuple[float, float]:
    """Part of histories with a step in their middle where it is named at its run, and at all."""
    at = count // 2
    named = [
        [change.at for change in change_points([each])[0]]
        for each in histories(noise, count, step, at, number)
    ]
    return sum(places == [at] for places in named) / number, sum(map(bool, named)) / number


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    print("| runs | noise | a change named though there is none |\n| ---: | --- | ---: |")
    for count in (6, 10, 20):
        for name, noise in NOISES.items():
            print(f"| {count} | {name} | {false_alarms(noise, count, number):.1%} |")
    print(
        "\n| runs | noise | step | named at its run | named |\n| ---: | --- | ---: | ---: | ---: |"
    )
    for count in (6, 10, 20):
        for name, noise in NOISES.items():
            for step in (0.02, 0.05):
                exact, named = found_at(noise, count, step, number)
                print(f"| {count} | {name} | {step:.0%} | {exact:.1%} | {named:.1%} |")


if __name__ == "__main__":
    main()
