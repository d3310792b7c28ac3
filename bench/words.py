"""Words of sentences."""


def plural(count: int, word: str) -> str:
    """`1 process`, `3 processes`, `0 cells`."""
    ending = "" if count == 1 else "es" if word.endswith(("s", "x", "ch", "sh")) else "s"
    return f"{count} {word}{ending}"
