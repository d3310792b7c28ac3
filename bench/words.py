"""Words of sentences, and text from outside in them."""

import re
from collections.abc import Sequence

# What acts on a terminal instead of being seen there: control characters but for tabs and ends of
# lines, what turns the direction of writing, and halves of characters, which no file can hold
_ACTING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def plural(count: int, word: str) -> str:
    """`1 process`, `3 processes`, `0 cells`."""
    ending = "" if count == 1 else "es" if word.endswith(("s", "x", "ch", "sh")) else "s"
    return f"{count} {word}{ending}"


def listed(names: Sequence[str]) -> str:
    """`A`, `A and B`, `A, B and C`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def printable(text: str) -> str:
    r"""Text whose characters that act on a terminal are written as escapes: `\x1b`."""
    return _ACTING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
