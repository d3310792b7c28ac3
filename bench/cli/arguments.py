"""Words of a command line, what each means or why not; and options that several commands share."""

import argparse
import re
from typing import Any

from bench.executables import DEVICES, MODES, OPTIMIZERS, PRECISIONS, RECIPES, SCHEDULES

IMPLEMENTATIONS = (
    "a name that `list` shows, one of its backends as in keras_functional[jax], the path of a "
    "Python file that ends with a class Implementation, or all"
)


def executable_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say which executables: those of `run` and `certify`."""
    add = parser.add_argument
    add(
        "--impl",
        nargs="+",
        metavar="NAME",
        help=f"implementations to take: {IMPLEMENTATIONS} (default: what is installed; of Keras "
        "the functional API alone, but with --profile standard and full)",
    )
    add(
        "--model",
        nargs="+",
        metavar="MODEL",
        default=["resnet14"],
        help="networks to build, by the names that `list` shows (default: resnet14)",
    )
    add(
        "--device",
        nargs="+",
        choices=DEVICES,
        help="devices to compute on (default: cuda where there is an NVIDIA GPU, else cpu; the "
        "project has not yet run rocm, mps and xpu)",
    )
    add(
        "--precision",
        nargs="+",
        choices=PRECISIONS,
        default=["fp32"],
        help="number formats that convolutions compute in (default: fp32)",
    )
    add(
        "--mode",
        nargs="+",
        choices=MODES,
        help="how a framework executes a step (default: the first mode that `list` shows for each "
        "backend)",
    )
    add(
        "--optimizer",
        nargs="+",
        choices=OPTIMIZERS,
        default=["adam"],
        help="optimizers to train with; sgd has momentum 0.9 (default: adam)",
    )
    add(
        "--weight-decay",
        type=fraction,
        metavar="D",
        help="decay of kernels, such as 5e-4, not of batch norms and biases: of sgd a part of the "
        "gradient, of adamw apart from it (default: none; of adamw 0.01)",
    )
    add(
        "--recipe",
        choices=RECIPES,
        default="constant",
        help="constant keeps the learning rate; article divides it by 3 after each quarter of the "
        "steps, and moves and mirrors images at random; augmented does the latter alone (default: "
        "constant)",
    )
    add(
        "--schedule",
        choices=SCHEDULES,
        default="constant",
        help="how the learning rate changes: cosine warms up for a tenth of the steps, one-cycle "
        "rises for three tenths, and both fall to almost 0; constant leaves it to the recipe "
        "(default: constant)",
    )
    add(
        "--label-smoothing",
        type=fraction,
        metavar="S",
        help="the part of each target that all classes share, such as 0.1 (default: none)",
    )
    add(
        "--timeout",
        type=seconds,
        metavar="S",
        default=600.0,
        help="seconds that a worker may take for one answer (default: 600)",
    )


def wait_argument(parser: argparse.ArgumentParser) -> None:
    """The option of all commands that measure, of which a machine runs one at a time."""
    parser.add_argument(
        "--wait",
        action="store_true",
        help="where another measurement goes on, wait until it has ended (default: say who "
        "measures, and end)",
    )


def training_of(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of a `Request` that say how its networks train, but for optimizer and recipe."""
    return {
        "schedule": options.schedule,
        "weight_decay": options.weight_decay,
        "label_smoothing": options.label_smoothing,
    }


def positive(text: str) -> int:
    """A whole number above 0."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return number


def batch_size(text: str) -> int | str:
    """A whole number above 0, or `max`."""
    try:
        return text if text == "max" else positive(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}, nor max") from None


def natural(text: str) -> int:
    """A whole number, 0 or above, that a record can hold with the number of a process added."""
    try:
        number = int(text)
    except ValueError:
        number = -1
    if not 0 <= number < 2**62:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 0 or above (below 2^62)")
    return number


def fraction(text: str) -> float:
    """A part of the whole between 0 and 1, written `1%`, `0.5 %` or `0.01`."""
    digits = text.strip()
    try:
        number = float(digits.removesuffix("%")) / (100 if digits.endswith("%") else 1)
    except ValueError:
        number = 0.0
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a fraction such as 1% or 0.01, above 0 and below 100%"
        )
    return number


def limit(text: str) -> tuple[str, float]:
    """What `--fail-if` bears, `slower=3%`, `memory=5%` or `accuracy=1pt`: kind and fraction."""
    kind, equals, amount = text.partition("=")
    unit = {"slower": "%", "memory": "%", "accuracy": "pt"}.get(kind)
    try:
        number = float(amount.removesuffix(unit)) if unit and amount.endswith(unit) else -1.0
    except ValueError:
        number = -1.0
    if not equals or not 0 <= number < 100:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a limit such as slower=3%, memory=5% or accuracy=1pt, below 100 "
            "(limits come last, after BASE and NEW)"
        )
    return kind, number / 100


def duration(text: str) -> float:
    """Seconds of a time such as `60s`, `10m` or `1h30m`."""
    found = re.fullmatch(r"(?:(\d{1,4})h)?(?:(\d{1,5})m)?(?:(\d{1,6})s)?", text.strip())
    parts = [int(part or 0) for part in found.groups()] if found else [0]
    total = sum(part * unit for part, unit in zip(parts, (3600, 60, 1), strict=False))
    if not total:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 60s, 10m or 1h30m")
    return float(total)


def shard(text: str) -> tuple[int, int]:
    """The number and the count of `2/3`."""
    found = re.fullmatch(r"0*([1-9]\d{0,8})/0*([1-9]\d{0,8})", text.strip(), re.ASCII)
    number, of = map(int, found.groups()) if found else (1, 0)
    if number > of:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a shard such as 2/3: its number, from 1 on, and how many there are"
        )
    return number, of


def seconds(text: str) -> float:
    """A finite number of seconds above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return number
