"""Why the article's pair is not one network."""

from dataclasses import astuple

from bench.identity.article import effects, lines, of_the_pair, percent
from bench.reports.report import Report
from bench.reports.text import table

HEADING = "## The article's pair: why it is not one network"

OPENING = """\
An article published `article_torch` and `article_keras` as one network in two frameworks. It is
two: each framework made some choices for its user, and made them differently. PyTorch's are those
of the reference, so Keras' model fails. Its certificate counts the tensors that only one side has
(the biases of convolutions), and it compares what the models put out, of which Keras' is
probabilities and not logits. These are the differences between the two, each on its own, the
largest effect first:"""

COLUMNS = (
    "difference",
    "first logits, evaluation",
    "first logits, training",
    "weights after 20 steps",
    "logits after 20 steps, evaluation",
)

CLOSING = """\
Figures are relative differences from PyTorch's model, before the softmax, in float64, where
rounding hides nothing: from the same weights over the same images, those of the certificate, by
Adam at 1e-3. *Weights* is the distance between both models over the distance that the farther one
has gone from the common start: at 100 % and more, the choice matters as much as the training.
`none` is below 1e-9. The effects are not speeds, and say nothing of which choice is better; they
say that the rows of the pair are no comparison of frameworks. `python -m bench.identity.article`
computes them anew."""


def section(report: Report) -> str:
    """The differences and their effects; empty where neither of the pair was measured."""
    measured = (r.implementation for r in report.records if r.status in ("ok", "uncertified"))
    if not of_the_pair(measured):
        return ""
    rows = [[name, *map(percent, astuple(effect))] for name, effect in effects().items()]
    return "\n\n".join([HEADING, OPENING, "\n".join(lines()), table(COLUMNS, rows), CLOSING])
