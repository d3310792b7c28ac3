"""A user's mistake, told in one line."""

import difflib
from collections.abc import Iterable


class UsageError(Exception):
    """A mistake of the user's: what was given, what is allowed and what to do, in one line."""


def check_text(text: str) -> None:
    """Raises UsageError for a name that is not UTF-8: no file of results could hold it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        shown = text.encode("utf-8", "backslashreplace").decode()
        raise UsageError(f"{shown}: is not UTF-8; rename it, or choose another") from None


def unknown(what: str, given: str, allowed: Iterable[str]) -> str:
    """`unknown model 'resnet15' (did you mean 'resnet14'?): choose from …`."""
    allowed = list(allowed)
    close = difflib.get_close_matches(given, allowed, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"unknown {what} {given!r}{hint}: choose from {', '.join(allowed)}"
