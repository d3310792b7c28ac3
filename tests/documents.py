"""Documents that were damaged: JSON, TOML and bytes, by accident or on purpose."""

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

# What no JSON library writes stands in a document as these words until it is text
DIGITS, DEEP, NAN, INFINITE = "@digits@", "@deep@", "@nan@", "@infinite@"
RAW = {
    DIGITS: "9" * 5000,
    DEEP: "[" * 50_000 + "]" * 50_000,
    NAN: "NaN",
    INFINITE: "-Infinity",
}

HOSTILE_TEXT = (
    *("", " ", "x" * 5000, "../../etc/passwd", "/dev/zero", "\x00", "\x1b]0;owned\x07", "\ud800"),
    *("a|b\n# c", "<script>alert(1)</script>", "=1+1", "{", "%s %n", "é", "𝟘", "\u202e", "[red]"),
    *("nan", "resnet14", "train", "cpu", "ok", "2026-01-01T00:00:00+00:00", "9999-99-99"),
)

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 1, 2, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63), 10**400]),
    st.integers(),
    st.sampled_from([0.0, -0.0, 5e-324, 1e-300, 1e-16, 0.5, 1e14, 1e15, 1e300, -1e300]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(HOSTILE_TEXT),
    st.text(max_size=20),
    st.sampled_from([DIGITS, DEEP, NAN, INFINITE]),
    st.sampled_from([[], {}, [[]], [{}], {"": None}, [None], ["x"], [1, 2], {"a": {"b": {}}}]),
    st.lists(st.floats(0, 10), max_size=5),
)


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value within a document."""
    items: Any = ()
    if isinstance(document, dict):
        items = document.items()
    elif isinstance(document, list):
        items = enumerate(document)
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


@st.composite
def damaged(draw: st.DrawFn, document: Any, most: int = 4) -> Any:
    """A document of which some values were changed, dropped, renamed or put elsewhere."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, most))):
        every = list(places(document))
        if not every:
            return document
        *above, last = draw(st.sampled_from(every))
        holder = document
        for key in above:
            holder = holder[key]
        how = draw(st.sampled_from(["value", "value", "value", "drop", "rename", "copy"]))
        if how == "value":
            holder[last] = copy.deepcopy(draw(VALUES))
        elif how == "drop":
            del holder[last]
        elif how == "rename" and isinstance(holder, dict):
            holder[draw(st.sampled_from([*HOSTILE_TEXT, *map(str, above)]))] = holder.pop(last)
        else:
            source = document
            for key in draw(st.sampled_from(every)):
                try:
                    source = source[key]
                except (LookupError, TypeError):
                    break
            holder[last] = copy.deepcopy(source)
    return document


def as_json(document: Any) -> bytes:
    """A document as JSON, or as what is nearly that."""
    text = json.dumps(document)
    for word, raw in RAW.items():
        text = text.replace(f'"{word}"', raw)
    return text.encode()


@st.composite
def scratched(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes of which some were cut off, changed, repeated or put in."""
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(content)))
        how = draw(st.sampled_from(["cut", "flip", "insert", "repeat", "drop"]))
        if how == "cut":
            content = content[:at]
        elif how == "flip" and at < len(content):
            flipped = content[at] ^ draw(st.integers(1, 255))
            content = content[:at] + bytes([flipped]) + content[at + 1 :]
        elif how == "insert":
            content = content[:at] + draw(st.binary(max_size=8)) + content[at:]
        elif how == "repeat":
            content = content[:at] + content[at : at + 30] + content[at:]
        else:
            content = content[:at] + content[at + draw(st.integers(1, 30)) :]
    return content
