"""Text of documents to the values of records: decimals, dates, instants. Nothing is rounded up or invented.

Decimals stay text as in the file ("100.00" stays "100.00"). Dates and times come out in one of two forms:

- ``YYYY-MM-DD`` where the file gives a date only, or a time without a zone: a local time of an unknown
  place is no instant. A zone on a pure date (``2026-10-05+01:00``) is dropped, and the reader notes it.
- ``YYYY-MM-DDTHH:MM:SSZ`` where the file gives date, time and zone: converted to UTC, a fraction of a
  second cut off (the earlier second: a longer delay, against the borrower).
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

from contracts import decimal_text as decimals
from node.connectors.errors import ConnectorError, shown

MAX_DIGITS: Final = decimals.MAX_DIGITS
"""Digits of a number, as the contracts take them."""
FIRST_YEAR: Final = 1970
MAX_TEXT: Final = 2_000
"""Characters of one text field."""
MAX_QUOTIENT_PLACES: Final = 12
"""Decimal places of a unit price that is a price for a base quantity divided by that quantity."""

_DECIMAL = re.compile(r"([+-]?)(\d+(?:\.\d*)?|\.\d+)", re.ASCII)
_SCIENTIFIC = re.compile(r"-?\d+(?:\.\d+)?[eE][+-]?\d{1,3}", re.ASCII)
_ZONE = r"(Z|[+-]\d{2}:\d{2})?"
_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})" + _ZONE, re.ASCII)
_TIME = re.compile(r"(\d{2}):(\d{2}):(\d{2})(?:\.\d+)?" + _ZONE, re.ASCII)


class Moment(NamedTuple):
    """A date or an instant in record form, and whether a zone was dropped from a pure date."""

    text: str
    zone_dropped: bool = False


def clean(raw: str) -> str:
    """Text of one line: white space of any kind collapsed to single spaces, none at the ends.

    Raises ConnectorError BAD_VALUE for control characters, lone surrogates and texts above MAX_TEXT.
    """
    text = " ".join(raw.split())
    if len(text) > MAX_TEXT:
        raise ConnectorError("BAD_VALUE", f"a text has {len(text)} characters", f"shorten it to {MAX_TEXT}")
    if text.isascii() and text.isprintable():  # nearly every text; the rest of the check costs most of a fast reader
        return text
    if any(ord(character) < 32 or 0x7F <= ord(character) < 0xA0 for character in text) or not _encodable(text):
        raise ConnectorError("BAD_VALUE", f"{shown(text)} holds control characters", "remove them")
    return text


def decimal_text(raw: str, what: str) -> str:
    """A decimal number as text, as in the file but for a leading '+' and a bare point (".5" → "0.5")."""
    text = raw.strip()
    match = _DECIMAL.fullmatch(text)
    if match is None or sum(character.isdigit() for character in match[2]) > MAX_DIGITS:
        raise ConnectorError("BAD_VALUE", f"{what} is {shown(raw)}", "write a decimal number such as 1234.50")
    digits = match[2]
    if digits.startswith("."):
        digits = "0" + digits
    return ("-" if match[1] == "-" else "") + digits.removesuffix(".")


def json_decimal(raw: str, what: str) -> str:
    """A JSON number as decimal text; the scientific form is written out ("1e3" → "1000")."""
    return decimal_text(format(Decimal(raw), "f") if _SCIENTIFIC.fullmatch(raw) else raw, what)


def exact_quotient(dividend: str, divisor: str) -> str | None:
    """``dividend / divisor`` as decimal text where it is finite within 12 places, else None."""
    denominator = Fraction(divisor)
    if denominator == 0:
        return None
    quotient = Fraction(dividend) / denominator
    for places in range(MAX_QUOTIENT_PLACES + 1):
        scaled = quotient * 10**places
        if scaled.denominator == 1:
            return decimals.render(decimals.Scaled(scaled.numerator, places))
    return None


def difference(minuend: str, subtrahend: str) -> str:
    """``minuend − subtrahend`` as exact decimal text."""
    return decimals.render(decimals.subtract(decimals.parse(minuend), decimals.parse(subtrahend)))


def is_one(number: str) -> bool:
    """Whether decimal text means 1 ("1", "1.00")."""
    return Fraction(number) == 1


def is_zero(number: str) -> bool:
    """Whether decimal text means 0."""
    return Fraction(number) == 0


def moment(date_raw: str, time_raw: str | None, what: str) -> Moment:
    """A date and, where the file has one, its time (xsd:date, xsd:time) in record form.

    The zone may stand on the time or on the date; with a time but no zone the date alone is kept.
    """
    match = _DATE.fullmatch(date_raw.strip())
    if match is None:
        raise _bad_date(what, date_raw)
    day = _day(match, what, date_raw)
    if time_raw is None:
        return Moment(day.isoformat(), match[4] is not None)
    clock = _TIME.fullmatch(time_raw.strip())
    if clock is None:
        raise _bad_date(what, time_raw)
    zone = clock[4] or match[4]
    if zone is None:
        return Moment(day.isoformat())
    return Moment(_instant(day, clock, zone, what))


def not_before_1970(text: str, what: str) -> str:
    """A date or instant in record form, as it is. No system that issues documents existed before: it is a mistake."""
    if int(text[:4]) < FIRST_YEAR:
        raise ConnectorError("BAD_VALUE", f"{what} is {text}, before {FIRST_YEAR}", "ask the sender for the date")
    return text


def json_moment(raw: str, what: str) -> Moment:
    """An RFC 3339 date-time, or a plain date, in record form."""
    day, letter, clock = raw.strip().partition("T")
    return moment(day, clock if letter else None, what)


def _day(match: re.Match[str], what: str, raw: str) -> date:
    try:
        return date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        raise _bad_date(what, raw) from None


def _instant(day: date, clock: re.Match[str], zone: str, what: str) -> str:
    try:
        local = datetime.combine(day, time(int(clock[1]), int(clock[2]), int(clock[3])))
        utc = local.replace(tzinfo=_offset(zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise _bad_date(what, f"{day.isoformat()}T{clock[0]}") from None
    return utc.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def _offset(zone: str) -> timezone:
    if zone == "Z":
        return UTC
    hours, minutes = int(zone[1:3]), int(zone[4:6])
    if hours > 14 or minutes > 59:
        raise ValueError(zone)
    span = timedelta(hours=hours, minutes=minutes)
    return timezone(-span if zone[0] == "-" else span)


def _bad_date(what: str, raw: str) -> ConnectorError:
    return ConnectorError("BAD_VALUE", f"{what} is {shown(raw)}", "write a date as YYYY-MM-DD, a time as HH:MM:SSZ")


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
