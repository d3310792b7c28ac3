"""`machines.toml`: what the user knows of machines and no instrument does, their price and power.

```toml
[epyc-2core]            # a machine's name, or a processor's in quotes
price_per_hour = 0.12   # of the whole machine
currency = "EUR"
power_w = 45            # while it computes
```
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from bench import files
from bench.analysis.hardware import Hardware
from bench.errors import UsageError, unknown
from bench.records import Record
from bench.validation import Positive, convert


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Price and power of a machine; None where they are not stated."""

    price_per_hour: Positive | None = None  # in `currency`
    currency: Annotated[str, msgspec.Meta(pattern=r"\S")] | None = None
    power_w: Positive | None = None


LARGEST = 2**20  # bytes of the file
NUMBER = "a finite number above 0 (and below 1e15)"
KEYS = {"price_per_hour": NUMBER, "currency": "a name such as 'EUR'", "power_w": NUMBER}


def read(path: Path, records: Iterable[Record]) -> dict[str, Rate]:
    """The rates of the machines and processors of `records`, by name.

    Raises UsageError that names the file, the entry and the remedy.
    """
    try:
        entries = tomllib.loads(files.read(path, LARGEST).decode())
    except FileNotFoundError:
        raise UsageError(f"--machines {path}: there is no such file") from None
    except OSError as error:
        raise UsageError(f"--machines {path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"--machines {path}: cannot be read ({error})") from None
    except ValueError as error:  # of its grammar, or of a number of 5,000 digits
        raise UsageError(f"--machines {path}: is not TOML ({error})") from None
    except RecursionError:
        raise UsageError(f"--machines {path}: is nested too deeply") from None
    known = dict.fromkeys(name for r in records for name in (r.machine, r.processor))
    try:
        return {name: _rate(name, entry, known) for name, entry in entries.items()}
    except ValueError as error:
        raise UsageError(f"--machines {path}: {error}") from None


def _rate(name: str, entry: object, known: Iterable[str]) -> Rate:
    """Raises ValueError that says what is wrong with an entry, and what would be right."""
    if name not in known:
        # TOML takes a name with dots, such as [host.example.com], for tables in tables
        nested = isinstance(entry, dict) and any(isinstance(each, dict) for each in entry.values())
        quotes = " (a name with dots or spaces is written in quotes)" * nested
        raise ValueError(unknown("machine or processor", name, known) + quotes)
    if not isinstance(entry, dict):
        keys = ", ".join(KEYS)
        raise ValueError(f"{name} = {entry!r} is no table: write [{name}], and below it {keys}")
    for key, value in entry.items():
        if key not in KEYS:
            raise ValueError(f"[{name}]: {unknown('key', key, KEYS)}")
        try:
            convert({key: value}, Rate)
        except ValueError:
            raise ValueError(f"[{name}]: {key} = {value!r}: must be {KEYS[key]}") from None
    rate = convert(entry, Rate)
    if (rate.price_per_hour is None) != (rate.currency is None):
        both = "price_per_hour and currency go together: give both, or neither"
        raise ValueError(f"[{name}]: {both}")
    return rate


def rate_of(rates: Mapping[str, Rate], on: Hardware) -> Rate:
    """What is stated of a machine, and else of its processor, key by key."""
    machine, processor = rates.get(on.machine, Rate()), rates.get(on.processor, Rate())
    priced = machine if machine.price_per_hour else processor
    return Rate(
        price_per_hour=priced.price_per_hour,
        currency=priced.currency,
        power_w=machine.power_w or processor.power_w,
    )
