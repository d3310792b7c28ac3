"""`machines.toml`: what the user knows of machines and no instrument does, their price and power.

```toml
[epyc-2core]            # a machine's name, or a processor's in quotes
price_per_hour = 0.12   # of the whole machine
currency = "EUR"
power_w = 45            # while it computes
```
"""

import math
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.analysis.hardware import Hardware
from bench.errors import UsageError, unknown
from bench.records import Record

KEYS = ("price_per_hour", "currency", "power_w")

Rates = Mapping[str, Mapping[str, Any]]  # name of a machine or processor -> its keys


def read(path: Path, records: Iterable[Record]) -> Rates:
    """The rates of the machines and processors of `records`.

    Raises UsageError that names the file, the entry and the remedy.
    """
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"--machines {path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--machines {path}: cannot be read ({error})") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"--machines {path}: is not TOML ({error})") from None
    known = dict.fromkeys(name for r in records for name in (r.machine, r.processor))
    for name, entry in entries.items():
        if name not in known:
            quotes = " (a name with dots or spaces is written in quotes)" * _nested(entry)
            wrong = unknown("machine or processor", name, known)
            raise UsageError(f"--machines {path}: {wrong}{quotes}")
        if not isinstance(entry, dict):
            raise UsageError(
                f"--machines {path}: {name} = {entry!r} is no table: write [{name}], and below it "
                f"{', '.join(KEYS)}"
            )
        if mistake := _mistake(entry):
            raise UsageError(f"--machines {path}: [{name}]: {mistake}")
    return entries


def _nested(entry: object) -> bool:
    """Whether TOML took a name with dots, such as `[host.example.com]`, for tables in tables."""
    return isinstance(entry, dict) and any(isinstance(value, dict) for value in entry.values())


def _mistake(entry: Mapping[str, Any]) -> str | None:
    """What is wrong with the keys of an entry, and what would be right; None where nothing is."""
    for key, value in entry.items():
        if key not in KEYS:
            return unknown("key", key, KEYS)
        if key == "currency":
            if not isinstance(value, str) or not value.strip():
                return f"currency = {value!r} is no name: write one such as 'EUR'"
        elif isinstance(value, bool) or not isinstance(value, int | float):
            return f"{key} = {value!r} is not a number: write one above 0"
        elif not 0 < value < math.inf:
            return f"{key} = {value!r}: must be finite and above 0"
    if ("price_per_hour" in entry) != ("currency" in entry):
        return "price_per_hour and currency go together: give both, or neither"
    return None


def rate(rates: Rates, on: Hardware, key: str) -> Any:
    """What is said of a machine, or else of its processor; None: nothing."""
    for name in (on.machine, on.processor):
        if key in rates.get(name, {}):
            return rates[name][key]
    return None
