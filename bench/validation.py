"""JSON and TOML from files and from other processes become typed values here, or are refused.

The types are dataclasses (msgspec reads them); a refusal is one line that says where the error is.
"""

from collections.abc import Sequence
from dataclasses import MISSING, fields
from typing import Annotated, Any, TypeVar, get_type_hints

import msgspec

HUGE = 1e15  # no measured speed, time or size is beyond, nor below its inverse

Kind = TypeVar("Kind")
Number = Annotated[float, msgspec.Meta(gt=-HUGE, lt=HUGE)]
NotNegative = Annotated[float, msgspec.Meta(ge=0, lt=HUGE)]
Positive = Annotated[float, msgspec.Meta(gt=1 / HUGE, lt=HUGE)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]  # as many as a DataFrame's column holds
PositiveInt = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]


def parse(content: bytes | str, kind: type[Kind]) -> Kind:
    """JSON as a value of `kind`; fields that it does not have are left out.

    Raises ValueError that says in one line what is wrong, and where.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError as error:
        raise ValueError(_told(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        text = content if isinstance(content, str) else content.decode(errors="replace")
        constants = any(word in text for word in ("NaN", "Infinity"))
        hint = "; JSON has no NaN and no Infinity: unknown is null" * constants
        raise ValueError(f"not JSON ({_first(error)}{hint})") from None
    except RecursionError:
        raise ValueError("not JSON that can be read: nested too deeply") from None


def convert(value: Any, kind: type[Kind]) -> Kind:
    """A value of plain lists and mappings as one of `kind`. Raises ValueError as `parse` does."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ValueError(_told(error)) from None


def part(kind: type, names: Sequence[str]) -> Any:
    """A type of some fields of a dataclass, for `parse`, which passes over all others."""
    hints, known = get_type_hints(kind, include_extras=True), {f.name: f for f in fields(kind)}
    given = [
        (name, hints[name], *([] if known[name].default is MISSING else [known[name].default]))
        for name in names
    ]
    return msgspec.defstruct(f"{kind.__name__}Part", given, kw_only=True)


def plain(value: Any) -> Any:
    """A typed value as lists and mappings that `json` can write; `convert` undoes it."""
    return msgspec.to_builtins(value)


def _told(error: msgspec.ValidationError) -> str:
    """`machine.gpus[0]: Object missing required field memory_gib`."""
    what, _, where = _first(error).replace("`", "").partition(" - at ")
    place = where.removeprefix("$").removeprefix(".")
    return f"{place}: {what}" if place else what


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
