"""Dates with a format code (UNTDID 2379), as CII and EDIFACT write them: "20130410" with 102.

A time without a zone, or with a zone that is a name, leaves the date alone: a local time of an unknown place is
no instant. Two-digit years are refused: nothing says which century is meant.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from node.connectors import values
from node.connectors.errors import ConnectorError, shown

_DIGITS: Final = re.compile(r"\d+", re.ASCII)
_OFFSET: Final = re.compile(r"(\d{12})([+-]?)(\d{2})(\d{2})", re.ASCII)
_ZONED: Final = re.compile(r"(\d{12}|\d{14})([A-Z]{1,3}|[+-]\d{2})", re.ASCII)
_UTC: Final = frozenset({"UTC", "GMT", "Z"})
_LENGTHS: Final = {"102": 8, "203": 12, "204": 14}


class CodedDate(NamedTuple):
    """A date or an instant in record form, and a note on how it was read, "" where there is nothing to say."""

    text: str
    note: str = ""


def read(value: str, code: str, what: str) -> CodedDate:
    """A value under its format code: 102, 203, 204, 205, 303 or 304. Raises ConnectorError BAD_VALUE.

    A value with a time although its code says 102 (date only) is read as the date, and noted: EDIFACT senders
    write "199910060000" so.
    """
    if code in _LENGTHS and _DIGITS.fullmatch(value):
        if len(value) == _LENGTHS[code]:
            return CodedDate(_day(value, what))
        if code == "102" and len(value) in (12, 14):
            note = f"{what}: {shown(value)} has a time though its format (102) is a date: the date kept"
            return CodedDate(_day(value, what), note)
    if code == "205" and (match := _OFFSET.fullmatch(value)):
        return CodedDate(_instant(match[1], f"{match[2] or '+'}{match[3]}:{match[4]}", what))
    if (
        code in ("303", "304")
        and (match := _ZONED.fullmatch(value))
        and len(match[1]) == (14 if code == "304" else 12)
    ):
        if match[2] in _UTC:
            return CodedDate(_instant(match[1], "Z", what))
        if match[2][0] in "+-":
            return CodedDate(_instant(match[1], f"{match[2]}:00", what))
        note = f"{what}: the zone {shown(match[2])} has no fixed offset: the date kept"
        return CodedDate(_day(match[1], what), note)
    raise ConnectorError(
        "BAD_VALUE",
        f"{what} is {shown(value)} with the format code {shown(code)}",
        "write YYYYMMDD with the code 102",
    )


def _day(digits: str, what: str) -> str:
    return values.moment(f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}", None, what).text


def _instant(digits: str, zone: str, what: str) -> str:
    seconds = digits[12:14] or "00"
    clock = f"{digits[8:10]}:{digits[10:12]}:{seconds}{zone}"
    return values.moment(f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}", clock, what).text
