"""What tells the article's pair apart, and how much each difference matters.

`python -m bench.identity.article` computes the effects anew, in float64 on the problem of the
certificate, and writes them to `article_effects.json`, which reports quote (it takes some minutes).
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("article_effects.json")
MODEL = "resnet14"
ALL = "all together"
ROUNDING = 1e-9  # effects below it are those of the order in which numbers are added


@dataclass(frozen=True)
class Difference:
    """A choice that Keras makes in another way than PyTorch; `choice` is a field of `Choices`."""

    choice: str
    name: str
    explanation: str


@dataclass(frozen=True)
class Effect:
    """How far differences lead, as fractions of what PyTorch's choices lead to."""

    evaluation: float  # change of the first logits in evaluation mode
    training: float  # the same in training mode
    weights: float  # distance after 20 steps, over the distance that the farther one travelled
    later: float  # change of the logits in evaluation mode after 20 steps


DIFFERENCES = (
    Difference(
        "convolve",
        "padding",
        "where a 3×3 convolution strides by 2, PyTorch's `padding=1` adds (1, 1) pixels, one "
        "before and one after, and Keras' `same` adds (0, 1), since no more is needed: a window "
        "lies one pixel further to the right and below",
    ),
    Difference(
        "momentum",
        "batch-norm momentum",
        "the running statistics, which evaluation uses, take in 10 % of every new batch in PyTorch "
        "(`momentum=0.1`), 1 % in Keras (`momentum=0.99`): after 20 steps 12 % of what they "
        "started from is left in PyTorch, 82 % in Keras. Training does not use them",
    ),
    Difference(
        "epsilon",
        "batch-norm epsilon",
        "added to the variance before its root is taken: 1e-5 in PyTorch, 1e-3 in Keras",
    ),
    Difference(
        "rule",
        "Adam's epsilon",
        "1e-8 in PyTorch, added after the second moment's bias correction; 1e-7 in Keras, added "
        "before it, where the first step makes it count like 3e-6",
    ),
    Difference(
        "ddof",
        "running variance",
        "PyTorch keeps the unbiased variance of n values, divided by n − 1, Keras the biased one, "
        "divided by n. Training does not use it",
    ),
    Difference(
        "bias",
        "convolution bias",
        "none in PyTorch's model, 560 more parameters in Keras'. The batch norm that follows "
        "subtracts it again: it costs memory and time, and changes nothing but rounding",
    ),
    Difference(
        "loss",
        "loss",
        "PyTorch's `cross_entropy` takes logits and integers, Keras' `categorical_crossentropy` "
        "probabilities, out of a softmax layer, and one-hot labels. This is the same function "
        "until a probability leaves the range from 1e-7 to 1 − 1e-7, to which Keras clips it on "
        "JAX and PyTorch: an image whose label has less keeps a loss of 16.1, and either way it "
        "has no gradient. On TensorFlow, Keras goes back to the logits and clips nothing. These "
        "images stay within the range",
    ),
)


def effects() -> dict[str, Effect]:
    """The effect of each difference alone, largest first, and then of all together, by name."""
    found = json.loads(FILE.read_text(encoding="utf-8"))
    named = {d.name: Effect(**found[d.choice]) for d in DIFFERENCES}
    alone = sorted(named, key=lambda name: -max(asdict(named[name]).values()))
    return {name: named[name] for name in alone} | {ALL: Effect(**found[ALL])}


def lines() -> list[str]:
    """What each difference is and does, in the order of `effects`, as items of a Markdown list."""
    explanations = {d.name: d.explanation for d in DIFFERENCES}
    return [
        f"- **{name}**: {explanations[name]}. Alone: {sentence(effect)}."
        if name in explanations
        else f"- **{name}**: {sentence(effect)}."
        for name, effect in effects().items()
    ]


def percent(effect: float) -> str:
    """`7.7 %`; `none` where it is that of rounding."""
    if effect < ROUNDING:
        return "none"
    return f"{effect:.0%}".replace("%", " %") if effect >= 0.1 else f"{effect * 100:.2g} %"


def sentence(effect: Effect) -> str:
    """An effect in words: its figures, those that are none left out."""
    parts = [
        (effect.evaluation, "the first logits change by {} in evaluation mode"),
        (effect.training, "by {} in training mode"),
        (
            effect.weights,
            "after 20 steps the weights are apart by {} of the way that they have gone",
        ),
        (effect.later, "then the logits in evaluation mode differ by {}"),
    ]
    if effect.training >= ROUNDING > effect.evaluation:
        parts[1] = (effect.training, "the first logits change by {} in training mode")
    if effect.weights < ROUNDING:
        parts[3] = (effect.later, "after 20 steps the logits in evaluation mode differ by {}")
    stated = [text.format(percent(size)) for size, text in parts if size >= ROUNDING]
    return ", ".join(stated) or "no effect beyond rounding"


def of_the_pair(implementations: Iterable[str]) -> bool:
    """Whether one of the article's pair is among them."""
    return not {"article_torch", "article_keras"}.isdisjoint(implementations)


def names() -> dict[str, tuple[str, ...]]:
    """The choices that each entry of the file is about."""
    every = tuple(d.choice for d in DIFFERENCES)
    return {choice: (choice,) for choice in every} | {ALL: every}


def first(problem: Any, choices: tuple[str, ...]) -> tuple[Any, Any, Any]:
    """A reference with Keras' way in `choices`, and its first logits, (B, classes), in
    evaluation and in training mode.
    """
    from resnet_impls.numpy_article import KERAS, ArticleReference, Choices

    chosen = replace(Choices(), **{name: getattr(KERAS, name) for name in choices})
    model = ArticleReference(problem.architecture, problem.weights, chosen, learning_rate=1e-3)
    images = problem.images[0]
    return model, model.predict(images), model.logits(images, training=True)


def measure(problem: Any, say: Callable[[str], None] = lambda name: None) -> dict[str, Effect]:
    """The effects on a certificate's `Problem`, by the names of `names`; `say` is told each."""
    import numpy as np

    from bench.identity.checks import flat, relative
    from bench.identity.problem import BATCHES, STEPS

    parameters = problem.architecture.parameters

    def outcome(choices: tuple[str, ...]) -> tuple[Any, ...]:
        model, evaluation, training = first(problem, choices)
        for step in range(STEPS[-1]):
            model.train_step(problem.images[step % BATCHES], problem.labels[step % BATCHES])
        return (
            evaluation,
            training,
            flat(model.weights, parameters),
            model.predict(problem.images[0]),
        )

    start = flat(problem.weights, parameters)
    torch = outcome(())
    found = {}
    for name, choices in names().items():
        say(name)
        keras = outcome(choices)
        travelled = max(np.linalg.norm(end - start) for end in (torch[2], keras[2]))
        found[name] = Effect(
            relative(keras[0], torch[0]),
            relative(keras[1], torch[1]),
            float(np.linalg.norm(keras[2] - torch[2]) / travelled),
            relative(keras[3], torch[3]),
        )
    return found


def main() -> int:
    from bench.identity.problem import pose
    from resnet_impls.architecture import ARCHITECTURES

    found = measure(pose(ARCHITECTURES[MODEL]), print)
    rounded = {
        name: {key: float(f"{size:.3g}") for key, size in asdict(effect).items()}
        for name, effect in found.items()
    }
    FILE.write_text(json.dumps(rounded, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
