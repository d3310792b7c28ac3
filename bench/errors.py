"""A user's mistake, told in one line."""

import difflib
from collections.abc import Iterable


class UsageError(Exception):
    """A mistake of the user's: what was given, what is allowed and what to do, in one line."""


def unknown(what: str, given: str, allowed: Iterable[str]) -> str:
    """`unknown model 'resnet15' (did you mean 'resnet14'?): choose from …`."""
    allowed = list(allowed)
    close = difflib.get_close_matches(given, allowed, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"unknown {what} {given!r}{hint}: choose from {', '.join(allowed)}"
