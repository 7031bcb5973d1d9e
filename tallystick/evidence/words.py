"""Times and amounts as text, the same everywhere: no locale, no clock."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from contracts.record import SECONDS_PER_DAY, civil_from_days

MAX_SCALE: Final = 18
"""Decimal places of a minor unit: no currency has more, and a number of the chain has no more digits."""

_HIDDEN: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)
"""Controls, line ends, invisible letters and marks of direction. Listed, since what Python itself takes for printable
differs by its version, and pages are rendered again by another."""


def moment(ms: int) -> str:
    """An instant in UTC: "2026-06-15 10:00:00 UTC"."""
    days, second = divmod(ms // 1_000, SECONDS_PER_DAY)
    year, month, day = civil_from_days(days)
    hour, rest = divmod(second, 3_600)
    return f"{year:04d}-{month:02d}-{day:02d} {hour:02d}:{rest // 60:02d}:{rest % 60:02d} UTC"


def span(seconds: int) -> str:
    """How long: who dates blocks back must show them later than they say."""
    hours, minutes = divmod(max(0, seconds) // 60, 60)
    return f"{hours // 24} d {hours % 24} h {minutes} min" if hours >= 24 else f"{hours} h {minutes} min"


def amount(units: int, scale: int, currency: str = "") -> str:
    """Minor units with decimals: (123456, 2, "CNY") -> "1234.56 CNY". Raises ValueError for no scale."""
    if type(scale) is not int or not 0 <= scale <= MAX_SCALE:
        raise ValueError(f"a currency has 0 to {MAX_SCALE} decimal places")
    sign, digits = "-" if units < 0 else "", str(abs(units)).rjust(scale + 1, "0")
    whole, part = (digits, "") if scale == 0 else (digits[:-scale], digits[-scale:])
    return f"{sign}{whole}" + (f".{part}" if part else "") + (f" {currency}" if currency else "")


def clean(text: str) -> str:
    """Text in which nothing can be hidden: what moves a cursor, ends a line or turns the direction is spelled out.

    Names, reasons and file names in a bundle are other people's; unchanged, one of them could put a conclusion of its
    own onto a clerk's screen.
    """
    return _HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def cleaned(value: Any) -> Any:
    """A JSON value with every text in it clean."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {clean(str(name)): cleaned(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [cleaned(part) for part in value]
    return value
